"""The worker process: started, asked, told, and replaced when it dies, leaks or hangs."""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

import psutil

from tidegate import child
from tidegate.messages import AdmissionState, Ready, Served, Stop, Switched, Unable
from tidegate.supervisor.worker import restart_rule
from tidegate.supervisor.worker.channel import NonsenseError, WorkerChannel, WorkerDown
from tidegate.supervisor.worker.orphan import remember_worker
from tidegate.supervisor.worker.spec import WorkerSpec

READY_DEADLINE_S = 120.0
"""Importing torch and packing weights on a small board takes tens of seconds."""
SWITCH_DEADLINE_S = 60.0
REPORT_DEADLINE_S = 1.0
PING_EVERY_S = 2.0
PONG_DEADLINE_S = 15.0
"""The longest a healthy inference queue may take for what waits in it."""
STOP_DEADLINE_S = 5.0


class WorkerState(StrEnum):
    """What the worker is doing."""

    STARTING = "starting"
    SERVING = "serving"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker ended without being told to: how, at which point, and where the next one starts."""

    pid: int
    reason: str
    point: str
    next_point: str
    restarts: int


class WorkerProcess:
    """One worker after the other, from `run` until `stop`; `on_end` hears of every one that ended unasked.

    `refused` are the points that its engine can't run, by name, each with the reason.
    """

    def __init__(self, spec: WorkerSpec, point: str, on_end: Callable[[WorkerEnded], None]) -> None:
        self.engine = spec.engine
        self.refused: Mapping[str, str] = {}
        self.state = WorkerState.DOWN
        self.bundle_changed = asyncio.Event()
        """Set when a worker finds other files than those of the bundle that it is to serve."""
        self._spec = spec
        self._on_end = on_end
        self._restart = restart_rule.first_start(point)
        self._process: asyncio.subprocess.Process | None = None
        self._channel: WorkerChannel | None = None
        self._at_point_since = 0.0
        self._admission: AdmissionState | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self._kill_reason = ""

    @property
    def point(self) -> str:
        """The operating point that the worker is at, or at which the next one starts."""
        return self._restart.point

    @property
    def restarts(self) -> int:
        """How many workers ended unasked."""
        return self._restart.restarts

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep a worker alive until `stop`."""
        while not self._stopping:
            await asyncio.sleep(self._restart.pause_s)
            await self._run_one()

    async def wait_ready(self) -> None:
        """Return once a worker answers requests."""
        await self._ready.wait()

    async def switch(self, point: str) -> Switched:
        """Move the worker to another point. Raises WorkerDown when it isn't there, dies or takes for ever."""
        switched = await self._serving().switch(point, SWITCH_DEADLINE_S)
        if switched.bundle_changed:
            self.bundle_changed.set()
        if switched.ok:
            self._moved(switched.point)
        return switched

    async def ping(self, deadline_s: float | None = None) -> None:
        """Return once the inference queue has answered, within PONG_DEADLINE_S by default. Raises WorkerDown."""
        await self._serving().ping(PONG_DEADLINE_S if deadline_s is None else deadline_s)

    async def report(self) -> Served | None:
        """What was served since the last report; None when there is no worker to ask."""
        with suppress(WorkerDown):
            return await self._serving().report(REPORT_DEADLINE_S)
        return None

    def set_admission(self, state: AdmissionState) -> None:
        """Tell this worker and every later one what to let in, and whether the policy is satisfied."""
        if state != self._admission:
            self._admission = state
            if self._channel is not None:
                self._channel.send(state)

    async def stop(self) -> None:
        """Let the worker finish what is in flight and end; no other follows."""
        self._stopping = True
        await self._end(f"it did not stop within {STOP_DEADLINE_S:.0f} s")

    async def renew(self, listening: tuple[socket.socket, ...], reason: str) -> None:
        """Let a worker on these sockets take over from the present one, which first answers what is in flight."""
        self._spec = replace(self._spec, listening=listening)
        if self._process is not None:
            self._kill_reason = reason
            await self._end(reason)

    def kill(self, reason: str) -> None:
        """End the worker at once; the next one starts where this one was."""
        if self._process is not None:
            self._kill_reason = reason
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _end(self, reason: str) -> None:
        """Ask the present worker to end; kill it for `reason` when it takes too long."""
        process, channel = self._process, self._channel
        if process is None:
            return
        if channel is not None:
            channel.send(Stop())
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_DEADLINE_S):
                await process.wait()
                return
        if self._process is process:
            self.kill(reason)

    async def _run_one(self) -> None:
        """One worker from its start to its end."""
        self.state = WorkerState.STARTING
        ours, theirs = socket.socketpair()
        self._process = process = await self._start(theirs)
        theirs.close()
        if self._spec.record is not None:
            remember_worker(self._spec.record, process.pid)
        started = time.monotonic()
        self._channel = channel = await WorkerChannel.open(ours)
        try:
            async with asyncio.TaskGroup() as beside:
                listening = beside.create_task(self._listen(channel))
                watching = beside.create_task(self._watch(process.pid))
                returncode = await process.wait()
                listening.cancel()
                watching.cancel()
        finally:
            self._forget(channel)
        if not self._stopping:
            self._ended(process.pid, returncode, time.monotonic() - started)

    async def _start(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *child.command("tidegate.worker", *self._spec.arguments(self.point, theirs.fileno())),
            env=child.environment(),
            pass_fds=[theirs.fileno(), *(listening.fileno() for listening in self._spec.listening)],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._spec.log_file,
            stderr=self._spec.log_file,
            start_new_session=True,  # Ctrl-C is for the supervisor, which then tells the worker
        )

    async def _listen(self, channel: WorkerChannel) -> None:
        try:
            await channel.listen(self._take)
        except NonsenseError as error:
            self.kill(f"it sent nonsense: {error}")

    def _take(self, message: Ready | Unable) -> None:
        if isinstance(message, Unable):
            self._kill_reason = message.reason
            if message.other_bundle:
                self.bundle_changed.set()
        elif self._spec.bundle_sha256 not in {None, message.bundle}:
            self.kill(f"it serves bundle {message.bundle[:12]}..., not {self._spec.bundle_sha256}")
        else:
            self.state = WorkerState.SERVING
            self.engine = message.engine
            self.refused = message.refused
            self._moved(message.point)
            if self._admission is not None and self._channel is not None:
                self._channel.send(self._admission)
            self._ready.set()

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
                resident_bytes = psutil.Process(pid).memory_info().rss
            except WorkerDown:
                self.kill(
                    f"it did not answer for {PONG_DEADLINE_S:.0f} s: its inference queue hangs, or it takes no"
                    " connections"
                )
                return
            except psutil.NoSuchProcess:
                return  # its end is about to be seen
            self._restart = restart_rule.answered(self._restart, time.monotonic() - self._at_point_since)
            limit = self._spec.memory_limit_bytes
            if limit is not None and resident_bytes > limit:
                self.kill(f"it held {resident_bytes >> 20} MiB, its limit is {limit >> 20} MiB")
                return

    def _serving(self) -> WorkerChannel:
        """The channel to a worker that serves. Raises WorkerDown."""
        if self.state is not WorkerState.SERVING or self._channel is None:
            raise WorkerDown(f"the worker is {self.state}")
        return self._channel

    def _moved(self, point: str) -> None:
        self._restart = restart_rule.moved(self._restart, point)
        self._at_point_since = time.monotonic()

    def _forget(self, channel: WorkerChannel) -> None:
        self.state = WorkerState.DOWN
        self._process = self._channel = None
        self._ready.clear()
        channel.close()

    def _ended(self, pid: int, returncode: int, lived_s: float) -> None:
        """Choose where the next worker starts, and say so."""
        point, reason = self.point, self._kill_reason or _cause(returncode)
        self._restart, self._kill_reason = restart_rule.ended(self._restart, lived_s), ""
        self._on_end(WorkerEnded(pid, reason, point, self.point, self.restarts))


def _cause(returncode: int) -> str:
    return f"killed by signal {-returncode}" if returncode < 0 else f"it ended with code {returncode}"
