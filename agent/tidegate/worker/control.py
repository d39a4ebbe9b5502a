"""The worker's side of the control channel: the supervisor asks, the worker does and answers."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from pydantic import ValidationError

from tidegate.engines.runtime.memory import held_bytes, return_freed
from tidegate.messages import (
    AdmissionState,
    ForgetFootage,
    FromWorker,
    ModelsSet,
    Ping,
    Pong,
    Report,
    Serve,
    Served,
    SetModels,
    Stop,
    StreamCount,
    Switch,
    Switched,
    ToWorker,
    Tried,
    decode_to_worker,
    encode,
    lines,
)
from tidegate.validation_words import in_words
from tidegate.worker.further_models import FurtherModels
from tidegate.worker.idle import IdleMemory
from tidegate.worker.reception import Reception
from tidegate.worker.served_model import ServedModel

log = logging.getLogger(__name__)


class ControlChannel:
    """Reads the supervisor's messages until Stop or the end of the channel."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        model: ServedModel,
        reception: Reception,
        takes_connections: Callable[[], bool],
        take_dropped: Callable[[], tuple[str, ...]] = tuple,
        take_turned_away: Sequence[Callable[[], int]] = (),
    ) -> None:
        """`take_turned_away` tell of each way in how many requests the policy's limits refused."""
        self.may_serve = asyncio.Event()
        """Set when the supervisor lets requests in."""
        self.serve_message = Serve()
        """What is to be read from then on."""
        self.take_streams: Callable[[], tuple[StreamCount, ...]] = tuple
        """What was counted of them since the last call."""
        self.take_frigate: Callable[[], StreamCount | None] = lambda: None
        """What was counted of Frigate's pictures since the last call."""
        self.further: FurtherModels | None = None
        """The models beside the main one, where there may be any."""
        self._reader = reader
        self._writer = writer
        self._model = model
        self._reception = reception
        self._takes_connections = takes_connections
        self._take_dropped = take_dropped
        self._take_turned_away = take_turned_away
        self._idle_memory = IdleMemory(return_freed)
        model.on_refused = self._tell_refused

    async def serve(self) -> None:
        """Answer until told to stop; a closed channel means the supervisor is gone, which is a Stop as well."""
        async with asyncio.TaskGroup() as answering:
            async for line in lines(self._reader):
                try:
                    message = decode_to_worker(line)
                except ValidationError as error:
                    # Whoever waits for an answer hears of it by its deadline; requests go on.
                    log.error("no message: %s", in_words(error.errors(include_url=False)[0]["msg"]))  # noqa: TRY400 - no traceback to see
                    continue
                if isinstance(message, Stop):
                    if self.further is not None:
                        self.further.stop_loading()
                    return
                # A task each: a ping must not wait for a switch that is preparing.
                answering.create_task(self._handle(message))
        log.warning("the supervisor is gone")

    def tell(self, message: FromWorker) -> None:
        """Say something that nobody asked for; nothing happens once the channel is closed."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    def _tell_refused(self) -> None:
        self.tell(Tried(self._model.engine, self._model.refused))

    async def _handle(self, message: ToWorker) -> None:
        match message:
            case Ping(id=ping_id):
                await asyncio.wrap_future(self._model.queue.call(lambda: None))
                if self.further is not None:
                    await self.further.answered()
                    # The supervisor looks at the worker's memory when it has the answer.
                    await self.further.relieve()
                if not self._takes_connections():
                    log.error("no answer to the supervisor's ping: no connection gets in, a new worker is needed")
                    return
                self._writer.write(encode(Pong(ping_id)))
            case Report(id=report_id):
                self._writer.write(encode(self._served(report_id)))
            case AdmissionState():
                self._reception.admission_state = message
            case Switch():
                self._writer.write(encode(await self._switched(message)))
            case SetModels() if self.further is not None:
                failed = await self.further.take(message.models)
                self.tell(ModelsSet(message.id, failed))
            case Serve():
                self.serve_message = message
                self.may_serve.set()
            case ForgetFootage():
                if self._model.shadow.footage is not None:
                    self._model.shadow.footage.forget()
            case SetModels() | Stop():
                return
        # A supervisor that is gone is noticed where messages are read.
        with suppress(ConnectionError):
            await self._writer.drain()

    def _served(self, report_id: int) -> Served:
        footage = self._model.shadow.footage
        if footage is not None:
            footage.end_clips()
        served = replace(
            self._model.queue.report(report_id),
            turned_away=sum(take() for take in self._take_turned_away),
            shadow=self._model.shadow.take(),
            dropped=self._take_dropped(),
            streams=self.take_streams(),
            frigate=self.take_frigate(),
            models=() if self.further is None else self.further.report(),
            resident_bytes=held_bytes(),
            footage_trouble="" if footage is None else footage.trouble,
        )
        self._idle_memory.after(served)
        self._model.parts.certified_answers.after_window()
        return served

    async def _switched(self, message: Switch) -> Switched:
        if message.model is None:
            return await self._model.switch(message.id, message.point)
        if self.further is None:
            return Switched(message.id, False, "", 0.0, 0.0, None, f"there is no model {message.model}")
        return await self.further.switch(message.id, message.model, message.point)
