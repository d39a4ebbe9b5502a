"""The supervisor's side of the channel to one worker: questions get their answers, all else is handed on."""

import asyncio
import itertools
import socket
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from tidegate.messages import (
    LINE_LIMIT_BYTES,
    FromWorker,
    FurtherModelSpec,
    ModelsSet,
    ModelStates,
    Ping,
    Pong,
    Ready,
    Report,
    Served,
    SetModels,
    Starting,
    Switch,
    Switched,
    ToWorker,
    Tried,
    Unable,
    decode_from_worker,
    encode,
    lines,
)
from tidegate.validation_words import in_words

T = TypeVar("T", Switched, Pong, Served, ModelsSet)
Told = Starting | Ready | Tried | Unable | ModelStates
"""What a worker says unasked."""


class WorkerDown(Exception):  # noqa: N818 - reads as what it is at the call site
    """There is no worker to answer; a new one is on its way."""


class NonsenseError(Exception):
    """The worker sent what is no message; the text says what is wrong with it."""


class WorkerChannel:
    """One worker's end of the socket pair `ours`; another worker gets another channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Switched | Pong | Served | ModelsSet]] = {}
        self._closed = False

    @classmethod
    async def open(cls, ours: socket.socket) -> "WorkerChannel":
        """Over our end of a socket pair, which belongs to the channel from now on."""
        return cls(*await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT_BYTES))

    async def switch(self, point: str, deadline_s: float, model: str | None = None) -> Switched:
        """Ask for another operating point, of a further model where one is named. Raises WorkerDown."""
        return await self._ask(Switch(next(self._ids), point, model), Switched, deadline_s)

    async def set_models(self, models: tuple[FurtherModelSpec, ...], deadline_s: float) -> ModelsSet:
        """Say which further models there are, and return when they are loaded. Raises WorkerDown."""
        return await self._ask(SetModels(next(self._ids), models), ModelsSet, deadline_s)

    async def ping(self, deadline_s: float) -> None:
        """Return once the inference queue has answered. Raises WorkerDown."""
        await self._ask(Ping(next(self._ids)), Pong, deadline_s)

    async def report(self, deadline_s: float) -> Served:
        """What was served since the last report. Raises WorkerDown."""
        return await self._ask(Report(next(self._ids)), Served, deadline_s)

    def send(self, message: ToWorker) -> None:
        """Say something that has no answer; nothing happens when the channel is closed."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def listen(self, on_message: Callable[[Told], None]) -> None:
        """Read until the worker closes its end. Raises NonsenseError."""
        async for line in lines(self._reader):
            self._take(_decoded(line), on_message)

    def close(self) -> None:
        """Hang up; whoever waits for an answer hears that the worker ended."""
        self._writer.close()
        self._closed = True
        for future in self._answers.values():
            if not future.done():
                future.set_exception(WorkerDown("the worker ended"))
        self._answers.clear()

    def _take(self, message: FromWorker, on_message: Callable[[Told], None]) -> None:
        if isinstance(message, Told):
            on_message(message)
        elif (future := self._answers.pop(message.id, None)) is not None and not future.done():
            future.set_result(message)

    async def _ask(self, message: Switch | Ping | Report | SetModels, kind: type[T], deadline_s: float) -> T:
        if self._closed:
            # Whoever waits is told when the channel is closed; nobody tells those who come after that.
            raise WorkerDown("the worker ended")
        future: asyncio.Future[Switched | Pong | Served | ModelsSet] = asyncio.get_running_loop().create_future()
        self._answers[message.id] = future
        self.send(message)
        try:
            async with asyncio.timeout(deadline_s):
                answer = await future
        except TimeoutError:
            raise WorkerDown(f"no answer to {message.kind} within {deadline_s:.0f} s") from None
        finally:
            self._answers.pop(message.id, None)
        if not isinstance(answer, kind):
            raise WorkerDown(f"it answered {message.kind} with {answer.kind}")
        return answer


def _decoded(line: bytes) -> FromWorker:
    try:
        return decode_from_worker(line)
    except ValidationError as error:
        raise NonsenseError(in_words(error.errors(include_url=False)[0]["msg"])) from error
