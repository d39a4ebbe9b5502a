"""One worker process, from its start to its end."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from tidegate import child
from tidegate.messages import ModelStates, Ready, Starting, Stop, Tried, Unable
from tidegate.supervisor.worker.cause import cause, oom_kills
from tidegate.supervisor.worker.certificates import handed_over
from tidegate.supervisor.worker.channel import NonsenseError, Told, WorkerChannel, WorkerDown
from tidegate.supervisor.worker.crash_reports import read_stack, stack_file
from tidegate.supervisor.worker.orphan import remember_worker
from tidegate.supervisor.worker.resident import resident_bytes
from tidegate.supervisor.worker.spec import WorkerSpec

READY_DEADLINE_S = 120.0
"""Importing torch and packing weights on a small board takes tens of seconds."""
STOP_DEADLINE_S = 5.0
STACK_S = 0.3
"""For a worker that hangs to write down where."""


class WorkerInstance:
    """`serves` once requests were let in; `kill_reason` is why it was ended, empty while nobody asked for it."""

    def __init__(self, spec: WorkerSpec, process: asyncio.subprocess.Process, channel: WorkerChannel) -> None:
        self.spec = spec
        self.channel = channel
        self.started_at = time.monotonic()
        self.doing = "it starts"
        self.serves = False
        self.kill_reason = ""
        self.resident_bytes: int | None = None
        self.unable: Unable | None = None
        self.on_tried: Callable[[Tried], None] = lambda _: None
        self.on_models: Callable[[ModelStates], None] = lambda _: None
        self._process = process
        self._stack: IO[bytes] | None = None
        self._oom_kills = oom_kills()
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())
        self._ending = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, spec: WorkerSpec, point: str) -> "WorkerInstance":
        """A process that gets ready to serve at `point`. Raises OSError."""
        ours, theirs = socket.socketpair()
        stack = stack_file()
        certificates = None if spec.certificates is None else handed_over(spec.certificates)
        certificates_fd = None if certificates is None else certificates.fileno()
        arguments = spec.arguments(point, theirs.fileno(), stack.fileno(), certificates_fd)
        passed = [] if certificates_fd is None else [certificates_fd]
        try:
            process = await asyncio.create_subprocess_exec(
                *child.command("tidegate.worker", *arguments),
                env=child.environment(),
                pass_fds=[theirs.fileno(), stack.fileno(), *passed, *spec.inherited],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=spec.log_file,
                stderr=spec.log_file,
                start_new_session=True,  # Ctrl-C is for the supervisor, which then tells the worker
            )
        except OSError:
            ours.close()
            stack.close()
            raise
        finally:
            theirs.close()
            if certificates is not None:
                certificates.close()
        started = cls(spec, process, await WorkerChannel.open(ours))
        started._stack = stack
        if spec.record is not None:
            remember_worker(spec.record, process.pid)
        return started

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def age_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self.started_at

    async def wait_ready(self) -> Ready:
        """What it says once it has answered the canaries rightly. Raises WorkerDown with the reason it doesn't."""
        left_s = max(0.0, READY_DEADLINE_S - self.age_s)
        either: set[asyncio.Future[Ready] | asyncio.Future[int]] = {self._ready, self._ending}
        await asyncio.wait(either, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if self._ending.done():
            raise WorkerDown(self.kill_reason or self._cause())
        raise WorkerDown(f"it was not ready after {READY_DEADLINE_S:.0f} s; last it said: {self.doing}")

    async def wait_end(self) -> str:
        """Why it ended, once it has."""
        try:
            await asyncio.shield(self._ending)
        finally:
            self._listening.cancel()
            self.channel.close()
        if self._listening.done() and not self._listening.cancelled():
            self._listening.result()
        return self.kill_reason or self._cause()

    async def stop(self, reason: str) -> None:
        """Let it answer what is in flight and end; kill it for `reason` when that takes too long."""
        self.kill_reason = self.kill_reason or reason
        self.channel.send(Stop())
        await asyncio.wait({self._ending}, timeout=STOP_DEADLINE_S)
        self.kill(self.kill_reason)

    def kill(self, reason: str) -> None:
        """End it at once."""
        if not self._ending.done():
            self.kill_reason = self.kill_reason or reason
            with suppress(ProcessLookupError):
                self._process.kill()

    async def kill_hung(self, reason: str) -> None:
        """End it after it had a moment to write down where it hangs."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        await asyncio.wait({self._ending}, timeout=STACK_S)
        self.kill(reason)

    def look_at_memory(self) -> int | None:
        """Its resident bytes; None when it is gone."""
        found = resident_bytes(self.pid)
        if found is not None:
            self.resident_bytes = found
        return found

    def take_stack(self) -> str:
        """What it wrote down of its end; once."""
        stack, self._stack = self._stack, None
        if stack is None:
            return ""
        with stack:
            return read_stack(stack)

    async def _listen(self) -> None:
        try:
            await self.channel.listen(self._take)
        except NonsenseError as error:
            self.kill(f"it sent nonsense: {error}")

    def _take(self, message: Told) -> None:
        match message:
            case Starting():
                self.doing = message.doing
            case Unable():
                self.unable, self.kill_reason = message, message.reason
            case Tried():
                self.on_tried(message)
            case ModelStates():
                self.on_models(message)
            case Ready() if self.spec.bundle_sha256 not in {None, message.bundle}:
                self.kill(f"it serves bundle {message.bundle[:12]}..., not {self.spec.bundle_sha256}")
            case Ready() if not self._ready.done():
                self._ready.set_result(message)

    def _cause(self) -> str:
        returncode = self._process.returncode
        return cause(0 if returncode is None else returncode, self._oom_kills, oom_kills())
