"""The worker's keeper: starts the worker, talks to it, and replaces it when it dies, leaks or hangs."""

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, TypeVar

import psutil
from pydantic import ValidationError

from tidegate import child
from tidegate.messages import (
    LINE_LIMIT_BYTES,
    FromWorker,
    Ping,
    Pong,
    Ready,
    Report,
    Served,
    Standing,
    Stop,
    Switch,
    Switched,
    ToWorker,
    Unable,
    decode_from_worker,
    encode,
    lines,
)
from tidegate.supervisor.left_over import remember_worker

log = logging.getLogger(__name__)
T = TypeVar("T", bound=FromWorker)

READY_DEADLINE_S = 120.0
"""Importing torch and packing weights on a small board takes tens of seconds."""
SWITCH_DEADLINE_S = 60.0
PING_EVERY_S = 2.0
PONG_DEADLINE_S = 15.0
"""The longest a healthy lane may take for what is queued in it."""
STOP_DEADLINE_S = 5.0
STABLE_S = 10.0
"""A worker that lived this long proves its operating point; before that, two deaths in a row condemn it."""
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class WorkerState(StrEnum):
    """What the worker is doing."""

    STARTING = "starting"
    SERVING = "serving"
    DOWN = "down"


class WorkerDown(Exception):  # noqa: N818 - reads as what it is at the call site
    """There is no worker to answer; a new one is on its way."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """How to start a worker."""

    bundle: Path
    engine: str
    listening: tuple[socket.socket, ...]
    cache_dir: Path | None = None
    keep_bytes: int = 0
    spin: bool = False
    memory_limit_bytes: int | None = None
    log_file: IO[bytes] | None = None
    bundle_sha256: str | None = None
    """The bundle that may be served; None for whichever lies there."""
    record: Path | None = None
    """Where to write down which process the worker is."""


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker ended without being told to: how, at which point, and where the next one starts."""

    pid: int
    reason: str
    point: str
    next_point: str
    restarts: int


class WorkerKeeper:
    """Keeps one worker alive at `point`; `on_end` hears of every worker that ended unasked.

    `refused` are the points that its engine can't run, by name, each with the reason.
    """

    def __init__(self, spec: WorkerSpec, point: str, on_end: Callable[[WorkerEnded], None]) -> None:
        self.point = point
        self.engine = spec.engine
        self.refused: Mapping[str, str] = {}
        self.state = WorkerState.DOWN
        self.restarts = 0
        self.bundle_changed = asyncio.Event()
        """Set when a worker finds other files than those of the bundle that it is to serve."""
        self._process: asyncio.subprocess.Process | None = None
        self._at_point_since = 0.0
        self._proven_point = point
        self._early_deaths = 0
        self._spec = spec
        self._on_end = on_end
        self._standing: Standing | None = None
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[FromWorker]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self._kill_reason = ""

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep a worker alive until `stop`."""
        while not self._stopping:
            await asyncio.sleep(BACKOFF_S[min(self._early_deaths, len(BACKOFF_S) - 1)])
            await self._one_life()

    async def wait_ready(self) -> None:
        """Return once a worker answers requests."""
        await self._ready.wait()

    async def switch(self, point: str) -> Switched:
        """Move the worker to another point. Raises WorkerDown when it isn't there, dies or takes for ever."""
        switched = await self._ask(Switch(next(self._ids), point), Switched, SWITCH_DEADLINE_S)
        if switched.bundle_changed:
            self.bundle_changed.set()
        if switched.ok:
            self.point = switched.point
            self._at_point_since = time.monotonic()
        return switched

    async def ping(self, deadline_s: float = PONG_DEADLINE_S) -> None:
        """Return once the inference lane has answered. Raises WorkerDown."""
        await self._ask(Ping(next(self._ids)), Pong, deadline_s)

    async def report(self) -> Served | None:
        """What was served since the last report; None when there is no worker to ask."""
        with suppress(WorkerDown):
            return await self._ask(Report(next(self._ids)), Served, 1.0)
        return None

    def stand(self, standing: Standing) -> None:
        """Tell this worker and every later one whether the policy is satisfied."""
        if standing != self._standing:
            self._standing = standing
            self._send(standing)

    async def stop(self) -> None:
        """Let the worker finish what is in flight and end; no other follows."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        self._send(Stop())
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await process.wait()
        except TimeoutError:
            self.kill(f"it did not stop within {STOP_DEADLINE_S:.0f} s")

    async def renew(self, listening: tuple[socket.socket, ...], reason: str) -> None:
        """Let a worker on these sockets take over from the present one, which first answers what is in flight."""
        self._spec = replace(self._spec, listening=listening)
        process = self._process
        if process is not None:
            self._kill_reason = reason
            self._send(Stop())
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_DEADLINE_S):
                    await process.wait()
            if self._process is process:
                self.kill(reason)

    def kill(self, reason: str) -> None:
        """End the worker at once; the next one starts where this one was."""
        if self._process is not None:
            self._kill_reason = reason
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _one_life(self) -> None:
        self.state = WorkerState.STARTING
        ours, theirs = socket.socketpair()
        inherited = [theirs.fileno(), *(listening.fileno() for listening in self._spec.listening)]
        arguments = ["--bundle", str(self._spec.bundle), "--point", self.point, "--engine", self._spec.engine]
        if self._spec.cache_dir is not None:
            arguments += ["--cache", str(self._spec.cache_dir)]
        arguments += ["--keep-bytes", str(self._spec.keep_bytes)]
        if self._spec.spin:
            arguments += ["--spin"]
        if self._spec.bundle_sha256 is not None:
            arguments += ["--bundle-sha256", self._spec.bundle_sha256]
        arguments += ["--control-fd", str(theirs.fileno())]
        for listening in self._spec.listening:
            arguments += ["--listen-fd", str(listening.fileno())]
        process = await asyncio.create_subprocess_exec(
            *child.command("tidegate.worker", *arguments),
            env=child.environment(),
            pass_fds=inherited,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._spec.log_file,
            stderr=self._spec.log_file,
            start_new_session=True,  # Ctrl-C is for the supervisor, which then tells the worker
        )
        theirs.close()
        self._process = process
        if self._spec.record is not None:
            remember_worker(self._spec.record, process.pid)
        started = time.monotonic()
        reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT_BYTES)
        tasks = [asyncio.create_task(self._listen(reader)), asyncio.create_task(self._watch(process.pid))]
        try:
            returncode = await process.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._part()
        if not self._stopping:
            self._mourn(process.pid, returncode, time.monotonic() - started)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        async for line in lines(reader):
            try:
                message = decode_from_worker(line)
            except ValidationError as error:
                self.kill(f"it sent nonsense: {error.errors(include_url=False)[0]['msg']}")
                return
            if isinstance(message, Unable):
                self._kill_reason = message.reason
                if message.other_bundle:
                    self.bundle_changed.set()
            elif isinstance(message, Ready) and self._spec.bundle_sha256 not in {None, message.bundle}:
                self.kill(f"it serves bundle {message.bundle[:12]}..., not {self._spec.bundle_sha256}")
                return
            elif isinstance(message, Ready):
                self.state = WorkerState.SERVING
                self.point = message.point
                self.engine = message.engine
                self.refused = message.refused
                self._at_point_since = time.monotonic()
                if self._standing is not None:
                    self._send(self._standing)
                self._ready.set()
            elif (future := self._answers.pop(message.id, None)) is not None and not future.done():
                future.set_result(message)

    async def _watch(self, pid: int) -> None:
        """Kill a worker that doesn't come up, stops answering or outgrows its memory limit."""
        try:
            async with asyncio.timeout(READY_DEADLINE_S):
                await self._ready.wait()
        except TimeoutError:
            self.kill(f"it was not ready after {READY_DEADLINE_S:.0f} s")
            return
        while True:
            await asyncio.sleep(PING_EVERY_S)
            try:
                await self.ping()
            except WorkerDown:
                self.kill(
                    f"it did not answer for {PONG_DEADLINE_S:.0f} s: its inference lane hangs, or nobody gets in"
                )
                return
            if time.monotonic() - self._at_point_since > STABLE_S:
                self._early_deaths = 0
                self._proven_point = self.point
            limit = self._spec.memory_limit_bytes
            if limit is not None and (resident := psutil.Process(pid).memory_info().rss) > limit:
                self.kill(f"it held {resident >> 20} MiB, its limit is {limit >> 20} MiB")
                return

    async def _ask(self, message: Switch | Ping | Report, kind: type[T], deadline_s: float) -> T:
        if self.state is not WorkerState.SERVING:
            raise WorkerDown(f"the worker is {self.state}")
        future: asyncio.Future[FromWorker] = asyncio.get_running_loop().create_future()
        self._answers[message.id] = future
        self._send(message)
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

    def _send(self, message: ToWorker) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    def _part(self) -> None:
        """Forget the worker that ended; whoever waits for its answer hears so."""
        self.state = WorkerState.DOWN
        self._process = None
        self._ready.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for future in self._answers.values():
            if not future.done():
                future.set_exception(WorkerDown("the worker ended"))
        self._answers.clear()

    def _mourn(self, pid: int, returncode: int, lived_s: float) -> None:
        """Decide where the next worker starts: the same point, unless that point keeps killing workers."""
        self.restarts += 1
        point = self.point
        self._early_deaths = self._early_deaths + 1 if lived_s < STABLE_S else 0
        if self._early_deaths >= 2:
            self.point = self._proven_point
        reason = self._kill_reason or _cause(returncode)
        self._kill_reason = ""
        self._on_end(WorkerEnded(pid, reason, point, self.point, self.restarts))


def _cause(returncode: int) -> str:
    return f"killed by signal {-returncode}" if returncode < 0 else f"it ended with code {returncode}"
