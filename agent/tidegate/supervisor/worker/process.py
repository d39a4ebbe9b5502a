"""The worker: one process after the other, asked, told, and replaced when it dies, leaks or hangs."""

import asyncio
import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from tidegate import __version__
from tidegate.messages import (
    AdmissionState,
    ForgetFootage,
    FurtherModelSpec,
    Ready,
    Serve,
    Served,
    SetModels,
    Switched,
    Tried,
)
from tidegate.supervisor.models.further_model import FurtherModel
from tidegate.supervisor.models.model_board import ModelBoard, same_but_points
from tidegate.supervisor.worker import restart_rule
from tidegate.supervisor.worker.channel import WorkerChannel, WorkerDown
from tidegate.supervisor.worker.crash_reports import CrashReport, now_text
from tidegate.supervisor.worker.instance import READY_DEADLINE_S, STOP_DEADLINE_S, WorkerInstance
from tidegate.supervisor.worker.refusal import Refusal
from tidegate.supervisor.worker.rest import Rest, connection_waits
from tidegate.supervisor.worker.spec import WorkerSpec

SWITCH_DEADLINE_S = 60.0
MODELS_DEADLINE_S = 120.0
"""For all further models of a reload to be loaded, one after the other."""
REPORT_DEADLINE_S = 1.0
PING_EVERY_S = 8.0
PONG_DEADLINE_S = 15.0
"""The longest a healthy inference queue may take for what waits in it."""
PUT_OFF_S = 5.0
"""After somebody waited for a worker, a push that is tried for example, for what it is to be asked."""
MEND_S = 15.0
"""Beyond its deadline, for a worker that was killed to be gone and for the next one to be started."""
OVER_LIMIT = 1.25
"""A worker this far beyond its memory limit is not asked to finish any more."""


class WorkerState(StrEnum):
    """What the worker is doing."""

    STARTING = "starting"
    SERVING = "serving"
    DOWN = "down"
    ASLEEP = "asleep"
    """There is none, and is to be none for now."""


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker ended without being told to: how, at which point, and where the next one starts.

    `held_s` is how long the next ones are held there, since workers keep ending; 0 when they are not.
    `crash_report` is a file's name, empty without one.
    """

    pid: int
    reason: str
    point: str
    next_point: str
    restarts: int
    held_s: float = 0.0
    refusing: bool = False
    crash_report: str = ""


class WorkerProcess:
    """A worker from `run` until `stop`; `on_end` hears of every one that ended unasked.

    `refused` are the points that its engine can't run, by name, each with the reason.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        point: str,
        on_end: Callable[[WorkerEnded], None],
        board: ModelBoard | None = None,
    ) -> None:
        self.board = ModelBoard() if board is None else board
        """The models beside the main one."""
        self.engine = spec.engine
        self.refused: Mapping[str, str] = {}
        self.state = WorkerState.DOWN
        self.bundle_changed = asyncio.Event()
        """Set when a worker finds other files than those of the bundle that it is to serve."""
        self.on_answer: Callable[[], None] = lambda: None
        """Called whenever the worker has answered a ping."""
        self._spec = spec
        self._on_end = on_end
        self._restart = restart_rule.first_start(point)
        self._current: WorkerInstance | None = None
        self._at_point_since = 0.0
        self._admission: AdmissionState | None = None
        self._ready = asyncio.Event()
        self._taken_over = asyncio.Event()
        self._stopping = False
        self._refusal = Refusal()
        self._rest: Rest | None = None
        self._awaited = 0
        self._awake_until = 0.0
        self._retiring: set[asyncio.Task[None]] = set()
        self._due_at = time.monotonic() + READY_DEADLINE_S
        self._models_told: tuple[FurtherModelSpec, ...] = ()

    @property
    def point(self) -> str:
        """The operating point that the worker is at, or at which the next one starts."""
        return self._restart.point

    @property
    def held_point(self) -> str | None:
        """The only point that may be used for now, as workers have kept ending; None for all."""
        return self._restart.point if self._restart.held(time.monotonic()) else None

    @property
    def restarts(self) -> int:
        """How many workers ended unasked."""
        return self._restart.restarts

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return None if self._current is None else self._current.pid

    @property
    def doing(self) -> str:
        """What a worker that starts says it does; empty in any other state."""
        return self._current.doing if self._current is not None and self.state is WorkerState.STARTING else ""

    @property
    def spec(self) -> WorkerSpec:
        """How the next worker is started."""
        return self._spec

    @property
    def stuck(self) -> bool:
        """Whether an answer, an end or a start is long overdue: nothing in here can mend that."""
        return time.monotonic() > self._due_at

    async def run(self) -> None:
        """Keep a worker alive until `stop`."""
        try:
            while not self._stopping:
                if self._current is not None:
                    await self._keep(self._current)
                elif self._rest is not None:
                    await self._sleep(self._rest)
                else:
                    await self._start_next()
        finally:
            self._refusal.stop()

    async def wait_ready(self) -> None:
        """Return once a worker answers requests; for whoever waits for one, a sleep is put off for a while."""
        with self.kept_awake():
            self.wake()
            await self._ready.wait()

    @contextmanager
    def kept_awake(self) -> Iterator[None]:
        """Begin no sleep meanwhile, nor for a while after; one that is under way ends when a worker takes over."""
        self._awaited += 1
        try:
            yield
        finally:
            self._awaited -= 1
            self._awake_until = time.monotonic() + PUT_OFF_S

    async def switch(self, point: str, model: str | None = None) -> Switched:
        """Move the worker, or one of the further models, to another point.

        Raises WorkerDown when it isn't there, dies or takes for ever.
        """
        switched = await self._serving().switch(point, SWITCH_DEADLINE_S, model)
        if model is not None:
            return switched
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
            if self._current is not None and self._current.serves:
                self._current.channel.send(state)

    def tell_models(self) -> None:
        """Tell the worker which further models there are, if that is something else than it was told."""
        if self._current is not None and self._current.serves:
            specs = self.board.specs(held=self.held_point is not None)
            if not same_but_points(self._models_told, specs):
                self._models_told = specs
                self._current.channel.send(SetModels(0, specs))

    async def use_models(
        self, models: Sequence[FurtherModel], left_out: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """Have these further models from now on; those that can't be loaded, each with the reason.

        `left_out` are others of agent.yaml that can't be opened, each with the reason.

        A worker that isn't there yet, or ends meanwhile, is told them when it is let in.
        """
        self.board.use(models, left_out)
        self._models_told = specs = self.board.specs(held=self.held_point is not None)
        try:
            return (await self._serving().set_models(specs, MODELS_DEADLINE_S)).failed
        except WorkerDown:
            return {}

    def forget_footage(self) -> None:
        """Have the worker delete the frames that it keeps, and those that wait in it for the disk."""
        if self._current is not None and self._current.serves:
            self._current.channel.send(ForgetFootage())

    async def prepare(self, spec: WorkerSpec, point: str) -> WorkerInstance:
        """A worker by another spec, ready beside the present one, that takes no requests yet.

        Raises WorkerDown, with the reason, when it does not get ready; then nothing of it is left.
        """
        try:
            candidate = await WorkerInstance.start(spec, point)
        except OSError as error:
            raise WorkerDown(_not_started(error)) from None
        try:
            await candidate.wait_ready()
        except BaseException:
            candidate.kill("it is not wanted")
            await candidate.wait_end()
            candidate.take_stack()
            raise
        return candidate

    async def take_over(self, candidate: WorkerInstance) -> None:
        """Let the candidate of `prepare` answer from now on; the worker before it finishes what is in flight."""
        before, self._current, self._spec = self._current, candidate, candidate.spec
        if before is not None:
            before.on_models = lambda _: None
        self._rest = None
        self._restart = restart_rule.renewed(self._restart, self._restart.point)
        self._let_in(candidate, await candidate.wait_ready())
        self._taken_over.set()
        if before is not None:
            retiring = asyncio.create_task(before.stop("another worker has taken over"))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    async def renew(
        self, listening: tuple[socket.socket, ...], frigate: socket.socket | None, reason: str
    ) -> None:
        """Let a worker on these sockets take over from the present one, which first answers what is in flight."""
        self._spec = replace(self._spec, listening=listening)
        if frigate is not None and self._spec.frigate is not None:
            self._spec = replace(self._spec, frigate=replace(self._spec.frigate, listening=frigate))
        if self._current is not None:
            await self._current.stop(reason)
        elif self.state is WorkerState.ASLEEP:
            self._taken_over.set()

    async def stop(self) -> None:
        """Let the worker finish what is in flight and end; no other follows."""
        self._stopping = True
        self._taken_over.set()
        if self._current is not None:
            await self._current.stop(f"it did not stop within {STOP_DEADLINE_S:.0f} s")
        await self.retired()

    async def retired(self) -> None:
        """Return once the workers from which others took over have ended."""
        if self._retiring:
            await asyncio.wait(self._retiring)

    async def sleep(self, rest: Rest) -> None:
        """Have no worker from now on, until `wake`; the one there is answers what is in flight, and ends.

        While somebody waits for a worker, and a little after that, nothing happens: call it again.
        """
        if self._awaited or time.monotonic() < self._awake_until:
            return
        self._rest = rest
        if self._current is not None:
            self._expect_within(STOP_DEADLINE_S)
            await self._current.stop(f"it did not stop within {STOP_DEADLINE_S:.0f} s")

    def wake(self) -> None:
        """Have a worker again."""
        if self._rest is not None:
            self._rest = None
            self._taken_over.set()

    async def _sleep(self, rest: Rest) -> None:
        """Wait for `wake`, or for a worker that takes over; whoever asks meanwhile is refused, or wakes."""
        self._taken_over.clear()
        self._refusal.stop()
        self.state, self._due_at = WorkerState.ASLEEP, math.inf
        listening = self._spec.listening
        if rest.on_request is None:
            await self._refusal.start(listening, rest.reason, rest.retry_after_s, self._spec.access)
            await self._taken_over.wait()
        else:
            # Connections stay in the backlog: the next worker answers them.
            async with connection_waits(listening, rest.on_request):
                await self._taken_over.wait()
        if self.state is WorkerState.ASLEEP:
            self.state = WorkerState.DOWN
            self._expect_within(READY_DEADLINE_S)

    async def _start_next(self) -> None:
        """A worker after the pause that the last one's end calls for, unless another takes over meanwhile."""
        pause_s = self._restart.pause_s
        self._expect_within(pause_s)
        self._taken_over.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._taken_over.wait()
        if not self._wants_one():
            return
        self.state = WorkerState.STARTING
        self._expect_within(READY_DEADLINE_S)
        point = self.point
        try:
            started = await WorkerInstance.start(self._spec, point)
        except OSError as error:
            self.state = WorkerState.DOWN
            await self._ended(None, _not_started(error))
            return
        if not self._wants_one():
            started.kill("another worker has taken over")
            await started.wait_end()
            started.take_stack()
            return
        self._current = started

    def _wants_one(self) -> bool:
        return self._current is None and not self._stopping

    async def _keep(self, worker: WorkerInstance) -> None:
        """Let a worker in when it is ready, and look after it until its end."""
        async with asyncio.TaskGroup() as beside:
            watching = beside.create_task(self._watch(worker))
            reason = await worker.wait_end()
            watching.cancel()
        if worker.unable is not None and worker.unable.other_bundle:
            self.bundle_changed.set()
        if worker is not self._current:
            worker.take_stack()
            return
        self.state, self._current = WorkerState.DOWN, None
        self._ready.clear()
        asked = self._stopping or self._rest is not None
        self.board.worker_ended(unasked=not asked)
        if asked:
            worker.take_stack()
        else:
            await self._ended(worker, reason)

    async def _watch(self, worker: WorkerInstance) -> None:
        """Kill a worker that doesn't come up or stops answering; have one end that outgrows its memory limit."""
        try:
            ready = await worker.wait_ready()
        except WorkerDown as error:
            await worker.kill_hung(str(error))
            return
        if not worker.serves:
            self._let_in(worker, ready)
        while True:
            await asyncio.sleep(PING_EVERY_S)
            try:
                await worker.channel.ping(PONG_DEADLINE_S)
            except WorkerDown:
                await worker.kill_hung(
                    f"it did not answer for {PONG_DEADLINE_S:.0f} s: its inference queue hangs, or it takes no"
                    " connections; the next one serves"
                )
                return
            if worker is self._current:
                self.on_answer()
                self._expect_within(PING_EVERY_S + PONG_DEADLINE_S)
                self._restart = restart_rule.answered(self._restart, time.monotonic() - self._at_point_since)
            if (reason := _over_limit(worker)) is not None:
                await worker.stop(reason)
                return

    def _let_in(self, worker: WorkerInstance, ready: Ready) -> None:
        """Have a worker that is ready answer requests."""
        self._refusal.stop()
        worker.serves = True
        self.state = WorkerState.SERVING
        self.engine = ready.engine
        self.refused = ready.refused
        worker.on_tried = self._tried
        worker.on_models = self.board.take
        self._moved(ready.point)
        self._expect_within(PING_EVERY_S + PONG_DEADLINE_S)
        if self._admission is not None:
            worker.channel.send(self._admission)
        self._models_told = self.board.specs(held=self.held_point is not None)
        # Before it takes requests: those to models that are being loaded wait instead of being refused.
        worker.channel.send(SetModels(0, self._models_told))
        worker.channel.send(Serve(worker.spec.streams, worker.spec.stream_broker, worker.spec.access))
        self._ready.set()

    def _tried(self, tried: Tried) -> None:
        """The next decision is among the points that there are now."""
        self.engine, self.refused = tried.engine, tried.refused

    def _serving(self) -> WorkerChannel:
        """The channel to a worker that serves. Raises WorkerDown."""
        if self.state is not WorkerState.SERVING or self._current is None:
            raise WorkerDown(f"the worker is {self.state}")
        return self._current.channel

    def _moved(self, point: str) -> None:
        self._restart = restart_rule.moved(self._restart, point)
        self._at_point_since = time.monotonic()

    def _expect_within(self, seconds: float) -> None:
        self._due_at = time.monotonic() + seconds + MEND_S

    async def _ended(self, worker: WorkerInstance | None, reason: str) -> None:
        """Choose where the next worker starts, keep a report, and say so."""
        point, now = self.point, time.monotonic()
        lived_s = 0.0 if worker is None else worker.age_s
        certified = [name for name in self._spec.certified_points if name not in self.refused]
        cheapest = certified[-1] if certified else self._restart.proven_point
        self._restart = restart_rule.ended(self._restart, lived_s, now, cheapest)
        self._expect_within(self._restart.pause_s)
        if self._restart.refuses:
            await self._refusal.start(self._spec.listening, reason, self._restart.pause_s, self._spec.access)
        self._on_end(
            WorkerEnded(
                0 if worker is None else worker.pid,
                reason,
                point,
                self.point,
                self.restarts,
                held_s=max(0.0, self._restart.held_until - now),
                refusing=self._restart.refuses,
                crash_report=await self._report(worker, point, reason, lived_s),
            )
        )

    async def _report(self, worker: WorkerInstance | None, point: str, reason: str, lived_s: float) -> str:
        reports = self._spec.crash_reports
        stack = "" if worker is None else worker.take_stack()
        if worker is None or reports is None:
            return ""
        report = CrashReport(
            at=now_text(),
            version=__version__,
            pid=worker.pid,
            engine=self.engine,
            point=point,
            bundle=self._spec.bundle_sha256,
            reason=reason,
            lived_s=round(lived_s, 1),
            resident_bytes=worker.resident_bytes,
            stack=stack,
        )
        path = await asyncio.to_thread(reports.keep, report)
        return "" if path is None else path.name


def _over_limit(worker: WorkerInstance) -> str | None:
    """Why a worker has to go that outgrew its memory; far beyond its limit it is killed here."""
    resident_bytes, limit = worker.look_at_memory(), worker.spec.memory_limit_bytes
    if limit is None or resident_bytes is None or resident_bytes <= limit:
        return None
    reason = (
        f"it held {resident_bytes >> 20} MiB, its limit is {limit >> 20} MiB (worker.memory_limit); another one"
        " starts small"
    )
    if resident_bytes > OVER_LIMIT * limit:
        worker.kill(reason)
    return reason


def end_in_words(ended: WorkerEnded) -> str:
    """The end of a worker in a sentence, with what follows from it."""
    who = f"worker {ended.pid}" if ended.pid else "the next worker"
    then = f"the next one starts at {ended.next_point}"
    if ended.held_s:
        then += f" and is held there for {ended.held_s:.0f} s, since workers keep ending"
    if ended.refusing:
        then += "; until it is ready, requests get 503 with Retry-After"
    if ended.crash_report:
        then += f" (crash report {ended.crash_report})"
    return f"{who} ended at {ended.point}: {ended.reason}; {then}"


def _not_started(error: OSError) -> str:
    return f"it can't be started: {error.strerror or error}; free memory, processes or files on this machine"
