"""The supervisor, wired together: it owns sockets, drivers, policy, spool and MQTT, and runs worker and loops."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import IO

from tidegate import __version__
from tidegate.boards import Profile
from tidegate.config import AgentConfig
from tidegate.documents import Document
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.messages import Served
from tidegate.models.bundle import Bundle
from tidegate.paths import cache_directory
from tidegate.policy.learned import GENERIC
from tidegate.policy.store import PolicyStore
from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.bundle_watch import wait_superseded
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.control.inputs import Inputs
from tidegate.supervisor.control.last_point import read_last_point
from tidegate.supervisor.control.loop import ControlLoop
from tidegate.supervisor.control.settings import Settings
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.events.journal import Journal, Observer
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.reload.candidate import Candidate, read_candidate
from tidegate.supervisor.reload.reload import Reload
from tidegate.supervisor.reload.swap import Swap, worker_spec
from tidegate.supervisor.sd_notify import notify
from tidegate.supervisor.sockets.commands import FILE_NAME as COMMANDS
from tidegate.supervisor.sockets.commands import Command, Done, ForgetDrift, ReloadConfig, serve_commands
from tidegate.supervisor.sockets.kept_socket import KeptSocket
from tidegate.supervisor.sockets.listeners import Listeners
from tidegate.supervisor.sockets.socket_watch import SocketWatch
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.rendering import as_status
from tidegate.supervisor.status.reporter import Reporter
from tidegate.supervisor.status.socket import FILE_NAME, serve_status
from tidegate.supervisor.status.spool_counts import SpoolCounts
from tidegate.supervisor.status.status import Status
from tidegate.supervisor.status.troubles import Troubles, trouble_with_directory
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.policy_updates import PolicyUpdates
from tidegate.supervisor.updates.pushed_policy import First, Reader
from tidegate.supervisor.updates.trust import PolicyTrust
from tidegate.supervisor.watchdog import Watchdog
from tidegate.supervisor.worker.crash_reports import DIRECTORY as CRASHES
from tidegate.supervisor.worker.crash_reports import CrashReports
from tidegate.supervisor.worker.orphan import FILE_NAME as WORKER_RECORD
from tidegate.supervisor.worker.process import WorkerEnded, WorkerProcess, end_in_words
from tidegate.supervisor.worker.spec import WorkerSpec
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.spool import Spool
from tidegate_drivers.controls.controls import Controls
from tidegate_drivers.sampler import Sampler

TROUBLES_S = 1.0
"""How often it is looked at what does not work."""
DRAIN_S = 5.0
WORKER_END_S = 6.0


class NoConfigurationError(TidegateError):
    """There is no file to reload."""

    exit_code = EX_UNAVAILABLE


class Supervisor:
    """One agent. `run` serves until `stop` is set; `status` may be asked at any time in between."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        bundle: Bundle,
        first: First,
        local: Document,
        store: PolicyStore,
        latest_time: LatestTime,
        sampler: Sampler,
        controls: Controls,
        spool: Spool,
        listeners: Listeners,
        broker: Broker | None,
        session: int,
        profile: Profile | None = None,
        reread: Callable[[], AgentConfig] | None = None,
        each_second: Callable[[], None] = lambda: None,
        observers: Sequence[Observer] = (),
        worker_log: IO[bytes] | None = None,
    ) -> None:
        self._sampler = sampler
        self._spool = spool
        self._reread = reread
        self._each_second = each_second
        self._board = None if profile is None else profile.board
        self._started_at = time.monotonic()
        self._served: Served | None = None
        self._latest_time = latest_time
        self._spool_counts = SpoolCounts(spool)
        self._link = BrokerLink(spool)
        device = Device(config.device, config.groups, session)
        self._journal = Journal(device.topics, spool, self._link.wake, observers)
        emit = self._journal.emit
        drift = DriftRecord(config.state_dir, bundle.sha256, bundle.ladder, emit)
        self._inputs = Inputs(config.inputs.max_age, emit)
        point = read_last_point(config.state_dir, bundle.ladder)
        if point in drift.demotions:
            point = bundle.ladder.full.name
        built = WorkerSpec(
            bundle=config.bundle,
            engine=config.worker.engine,
            listening=listeners.sockets,
            cache_dir=cache_directory(),
            log_file=worker_log,
            record=config.state_dir / WORKER_RECORD,
            crash_reports=CrashReports(config.state_dir / CRASHES),
        )
        self._worker = WorkerProcess(worker_spec(built, config, bundle), point, self._worker_ended)
        self._sockets = SocketWatch(listeners, self._worker.renew, emit)
        self._control = Control(
            ladder=bundle.ladder,
            policy=first.running.policy,
            worker=self._worker,
            sensors=sampler,
            drift=drift,
            inputs=self._inputs.readings,
            emit=emit,
            prior=GENERIC if profile is None else profile.device.prior,
        )
        self._settings = Settings(controls, emit)
        self._updates = PolicyUpdates(
            store=store,
            first=first,
            reader=Reader(local, self._board, lambda: self._control.runnable),
            latest_time=latest_time,
            control=self._control,
            worker=self._worker,
            allow_unsigned=config.allow_unsigned,
            emit=emit,
        )
        self._trust = PolicyTrust(store, latest_time, self._updates, emit)
        self._troubles = Troubles(emit)
        self._troubles.watch("state directory", partial(trouble_with_directory, config.state_dir))
        self._troubles.watch("spool", lambda: spool.problem)
        self._troubles.watch("broker", lambda: self._link.problem)
        self._link.use(broker, device, self._updates.receive, self._inputs.receive)
        self._reporter = Reporter(self._journal, self._link, self.state)
        watchdog = Watchdog(lambda: self._worker.stuck)
        self._worker.on_answer = watchdog.worker_answered
        self._control_loop = ControlLoop(
            control=self._control,
            worker=self._worker,
            updates=self._updates,
            settings=self._settings,
            journal=self._journal,
            reporter=self._reporter,
            watchdog=watchdog,
            state_dir=config.state_dir,
        )
        self._swap = Swap(
            InForce(config, bundle, drift),
            worker=self._worker,
            control=self._control,
            updates=self._updates,
            inputs=self._inputs,
            link=self._link,
            board=self._board,
            session=session,
            emit=emit,
        )
        self.reload = Reload(
            self._candidate,
            self._swap.bring,
            ready=lambda: self._control_loop.ready,
            troubles=self._troubles,
            emit=emit,
        )

    @property
    def in_force(self) -> InForce:
        """What it runs by now."""
        return self._swap.in_force

    @property
    def listeners(self) -> Listeners:
        """Where requests are answered."""
        return self._sockets.listeners

    async def run(self, stop: asyncio.Event) -> bool:
        """Serve until `stop`; then let the worker finish, drain the spool, and leave nothing behind.

        Serves no longer either when the bundle has been replaced and is needed: True then. What breaks in a loop
        ends the agent in the same order, and is raised in an ExceptionGroup.
        """
        async with AsyncExitStack() as closing:
            closing.push_async_callback(asyncio.to_thread, self._journal.close, DRAIN_S)
            await self._spool_counts.refresh()
            kept = await self._serve_local(closing)
            closing.callback(self._sockets.close)
            closing.callback(self._save_drift)
            closing.callback(self._latest_time.write)
            self._sampler.start()
            closing.callback(self._sampler.stop)
            self._link.start()
            # Its farewell waits for the broker, and a policy arriving meanwhile needs this loop.
            closing.push_async_callback(asyncio.to_thread, self._link.stop, DRAIN_S)
            closing.push_async_callback(asyncio.to_thread, self._journal.flush, DRAIN_S)
            closing.callback(self._journal.tell_folded, everything=True)
            await closing.enter_async_context(self._settings.kept())
            return await self._run_worker(stop, kept)

    def state(self) -> AgentState:
        """The agent as it is now."""
        worker, config, bundle = self._worker, self.in_force.config, self.in_force.bundle
        ladder = bundle.ladder
        return AgentState(
            at=time.time(),
            uptime_s=time.monotonic() - self._started_at,
            version=__version__,
            device=config.device,
            groups=config.groups,
            model=bundle.model,
            bundle=bundle.sha256,
            ladder=ladder,
            engine=worker.engine,
            point=ladder.points[ladder.rung(worker.point)],
            refused=worker.refused,
            worker=worker.state,
            worker_pid=worker.pid,
            worker_restarts=worker.restarts,
            switches=self._control.switches,
            updates=self._updates.state,
            decision=self._control.decision,
            snapshot=self._control.snapshot(),
            served=self._served,
            broker=None if self._link.broker is None else str(self._link.broker),
            link=self._link.state,
            spool=self._spool_counts.latest,
            demotions=tuple(self.in_force.drift.demotions.values()),
            troubles=self._troubles.now,
            recent=tuple(self._journal.recent),
        )

    def status(self) -> Status:
        """Everything there is to show."""
        state = self.state()
        explained = state.decision is not None
        return as_status(state, self._control.explanation(self._settings.obstacles) if explained else None)

    async def wait_ready(self) -> None:
        """Return once requests are answered."""
        await self._worker.wait_ready()

    async def _serve_local(self, closing: AsyncExitStack) -> tuple[KeptSocket, ...]:
        """The sockets for tools on this machine, served until `closing` ends."""
        directory, refresh = self.in_force.config.state_dir, self._spool_counts.refresh
        kept = (
            KeptSocket(directory / FILE_NAME, lambda path: serve_status(path, self.status, refresh)),
            KeptSocket(directory / COMMANDS, lambda path: serve_commands(path, self._do)),
        )
        for each in kept:
            await each.start()
            closing.push_async_callback(each.close)
        return kept

    async def _run_worker(self, stop: asyncio.Event, kept: Sequence[KeptSocket]) -> bool:
        """Have a worker while the loops run; it outlives them, to finish what it was asked."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._worker.run())
            try:
                return await self._run_loops(stop, kept)
            finally:
                notify(STOPPING=1)
                await self.reload.cancel()
                await self._send_window()
                await self._worker.stop()
                await asyncio.wait([running], timeout=WORKER_END_S)
                running.cancel()

    async def _run_loops(self, stop: asyncio.Event, kept: Sequence[KeptSocket]) -> bool:
        """Until `stop`, or until the bundle has been replaced: True then."""
        async with asyncio.TaskGroup() as tasks:
            loops = [
                tasks.create_task(loop)
                for loop in (
                    self._control_loop.run(self.in_force.bundle.model, self._addresses),
                    self._telemetry_loop(),
                    self._trouble_loop(),
                    self._sockets.run(kept),
                )
            ]
            changed, emit = self._worker.bundle_changed, self._journal.emit
            superseded = tasks.create_task(wait_superseded(lambda: self.in_force, changed, emit))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait([stopping, superseded], return_when=asyncio.FIRST_COMPLETED)
            for task in (*loops, superseded, stopping):
                task.cancel()
        return not stop.is_set()

    async def _telemetry_loop(self) -> None:
        while True:
            await asyncio.sleep(self.in_force.config.telemetry.window)
            await self._send_window()
            await self._updates.upkeep()

    async def _trouble_loop(self) -> None:
        while True:
            # In a thread: a disk that hangs must not take the loop with it.
            self._troubles.tell(await asyncio.to_thread(self._troubles.ask))
            for incident in await asyncio.to_thread(self._spool.take_incidents):
                self._journal.emit(Event(EventKind.FAULT, incident, {"part": "spool"}))
            self._each_second()
            await asyncio.sleep(TROUBLES_S)

    async def _send_window(self) -> None:
        self._served = await self._worker.report()
        if self._served is not None:
            self._control.note_served(self._served)
        await self._spool_counts.refresh()
        self._reporter.send_window()

    def _addresses(self) -> str:
        """Where it listens, in words."""
        tcp, unix = self.listeners.tcp_port, self.listeners.unix_path
        places = [f"http://127.0.0.1:{tcp}"] if tcp is not None else []
        places += [f"the Unix socket {unix}"] if unix is not None else []
        return f"answers on {' and '.join(places)}; status socket {self.in_force.config.state_dir / FILE_NAME}"

    def _worker_ended(self, ended: WorkerEnded) -> None:
        self._journal.emit(Event(EventKind.WORKER, end_in_words(ended), asdict(ended)))
        self._updates.worker_ended()

    async def _do(self, command: Command) -> Done:
        match command:
            case ForgetDrift():
                return Done(self.in_force.drift.forget(command.point))
            case ReloadConfig():
                reloaded = await asyncio.shield(asyncio.ensure_future(self.reload.run()))
                return Done(
                    refused=reloaded.refused, changed=reloaded.changed, after_restart=reloaded.after_restart
                )
            case _:
                return await self._trust.do(command)

    def _save_drift(self) -> None:
        self.in_force.drift.save()

    def _candidate(self) -> Candidate:
        """What agent.yaml says now. Raises TidegateError."""
        if self._reread is None:
            raise NoConfigurationError("this agent was not started from an agent.yaml; start it anew")
        return read_candidate(self.in_force.config, self._reread(), self.in_force.bundle, self._board)
