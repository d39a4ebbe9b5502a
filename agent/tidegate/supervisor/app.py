"""The supervisor: it owns sockets, drivers, policy, spool and MQTT, and runs worker and loops.

The parts are wired together in wiring/.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import IO

from tidegate.config import AgentConfig
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.supervisor.bundle_watch import wait_superseded
from tidegate.supervisor.control.brown_outs import loss_told
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.control.last_run import RunRecord, boot_id
from tidegate.supervisor.control.loop import ControlLoop
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.events.journal import Observer
from tidegate.supervisor.failed_upgrade import failed_upgrade, tell_once
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.local_commands import LocalCommands
from tidegate.supervisor.opened import Opened
from tidegate.supervisor.reload.candidate import Candidate, read_candidate
from tidegate.supervisor.reload.reload import Reload
from tidegate.supervisor.reload.swap import Swap
from tidegate.supervisor.sd_notify import notify
from tidegate.supervisor.sockets.commands import FILE_NAME as COMMANDS
from tidegate.supervisor.sockets.commands import serve_commands
from tidegate.supervisor.sockets.kept_socket import KeptSocket
from tidegate.supervisor.sockets.listeners import Listeners
from tidegate.supervisor.status.reporter import Reporter
from tidegate.supervisor.status.served_windows import ServedWindows
from tidegate.supervisor.status.socket import FILE_NAME, serve_status
from tidegate.supervisor.status.state_source import StateSource
from tidegate.supervisor.status.status import Status
from tidegate.supervisor.watchdog import Watchdog
from tidegate.supervisor.wiring.deciding import wire_deciding
from tidegate.supervisor.wiring.reporting import wire_reporting
from tidegate.supervisor.wiring.serving import wire_serving
from tidegate.supervisor.worker.process import WorkerEnded, end_in_words

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
        opened: Opened,
        *,
        reread: Callable[[], AgentConfig] | None = None,
        each_second: Callable[[], None] = lambda: None,
        observers: Sequence[Observer] = (),
        worker_log: IO[bytes] | None = None,
    ) -> None:
        self._opened = opened
        self._reread = reread
        self._each_second = each_second
        self._reporting = reporting = wire_reporting(config, opened, observers)
        self._journal = reporting.journal
        emit = self._journal.emit
        drift = DriftRecord(config.state_dir, opened.bundle.sha256, opened.bundle.ladder, emit)
        if faults := (*opened.state_faults, *((drift.damage,) if drift.damage else ())):
            reporting.troubles.note("state", "; ".join(faults))
        serving = wire_serving(
            config, opened, drift, log_file=worker_log, worker_ended=self._worker_ended, emit=emit
        )
        self._worker, self._sockets = serving.worker, serving.sockets
        self._run_record = RunRecord(config.state_dir, boot_id())
        self._deciding = deciding = wire_deciding(config, opened, self._worker, drift, emit)
        reporting.link.use(opened.broker, reporting.device, deciding.receive, deciding.inputs.receive)
        self._swap = Swap(
            InForce(config, opened.bundle, drift),
            worker=self._worker,
            deciding=deciding,
            link=reporting.link,
            board=opened.board,
            session=opened.session,
            emit=emit,
        )
        failed = failed_upgrade()
        if failed is not None:
            tell_once(failed, config.state_dir, emit)
        if opened.guard.climbs and opened.last_run is not None:
            emit(loss_told(opened.last_run, opened.guard))
        reporting.troubles.watch("supply", lambda: deciding.control.put_off)
        self._served = ServedWindows(self._worker, deciding.control)
        self._state = StateSource(lambda: self.in_force, self._worker, deciding, reporting, self._served, failed)
        self._reporter = Reporter(self._journal, reporting.link, self._state.state, self._state.retained)
        watchdog = Watchdog(lambda: self._worker.stuck)
        self._worker.on_answer = watchdog.worker_answered
        self._control_loop = ControlLoop(
            control=deciding.control,
            worker=self._worker,
            updates=deciding.updates,
            settings=deciding.settings,
            journal=self._journal,
            reporter=self._reporter,
            watchdog=watchdog,
            run_record=self._run_record,
            keep_losses=lambda losses: opened.brown_outs.keep(self.in_force.bundle.sha256, losses),
        )
        self.reload = Reload(
            self._candidate,
            self._swap.bring,
            ready=lambda: self._control_loop.ready,
            troubles=reporting.troubles,
            emit=emit,
        )
        self._commands = LocalCommands(lambda: self.in_force, self.reload, deciding.trust)

    @property
    def in_force(self) -> InForce:
        """What it runs by now."""
        return self._swap.in_force

    @property
    def listeners(self) -> Listeners:
        """Where requests are answered."""
        return self._sockets.listeners

    def status(self) -> Status:
        """Everything there is to show."""
        return self._state.status()

    async def run(self, stop: asyncio.Event) -> bool:
        """Serve until `stop`; then let the worker finish, drain the spool, and leave nothing behind.

        Serves no longer either when the bundle has been replaced and is needed: True then. What breaks in a loop
        ends the agent in the same order, and is raised in an ExceptionGroup.
        """
        async with AsyncExitStack() as closing:
            self._run_record.at(self._worker.point)
            closing.callback(self._run_record.ended)
            closing.push_async_callback(asyncio.to_thread, self._journal.close, DRAIN_S)
            await self._reporting.spool_counts.refresh()
            kept = await self._serve_local(closing)
            closing.callback(self._sockets.close)
            closing.callback(self._save_drift)
            closing.callback(self._opened.latest_time.write)
            closing.callback(self._deciding.updates.keep_verdicts)
            self._opened.sampler.start()
            closing.callback(self._opened.sampler.stop)
            self._reporting.link.start()
            # Its farewell waits for the broker, and a policy arriving meanwhile needs this loop.
            closing.push_async_callback(asyncio.to_thread, self._reporting.link.stop, DRAIN_S)
            closing.push_async_callback(asyncio.to_thread, self._journal.flush, DRAIN_S)
            closing.callback(self._journal.tell_folded, everything=True)
            await closing.enter_async_context(self._deciding.settings.kept())
            return await self._run_worker(stop, kept)

    async def wait_ready(self) -> None:
        """Return once requests are answered."""
        await self._worker.wait_ready()

    async def _serve_local(self, closing: AsyncExitStack) -> tuple[KeptSocket, ...]:
        """The sockets for tools on this machine, served until `closing` ends."""
        directory, refresh = self.in_force.config.state_dir, self._reporting.spool_counts.refresh
        kept = (
            KeptSocket(directory / FILE_NAME, lambda path: serve_status(path, self.status, refresh)),
            KeptSocket(directory / COMMANDS, lambda path: serve_commands(path, self._commands.do)),
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
            await self._deciding.updates.upkeep()

    async def _trouble_loop(self) -> None:
        while True:
            # In a thread: a disk that hangs must not take the loop with it.
            found, incidents = await asyncio.to_thread(self._ask_troubles)
            self._reporting.troubles.tell(found)
            for incident in incidents:
                self._journal.emit(Event(EventKind.FAULT, incident, {"part": "spool"}))
            self._each_second()
            await asyncio.sleep(TROUBLES_S)

    def _ask_troubles(self) -> tuple[dict[str, str | None], tuple[str, ...]]:
        return self._reporting.troubles.ask(), self._opened.spool.take_incidents()

    async def _send_window(self) -> None:
        await self._served.refresh()
        await self._reporting.spool_counts.refresh()
        self._reporter.send_window()

    def _addresses(self) -> str:
        """Where it listens, in words."""
        tcp, unix = self.listeners.tcp_port, self.listeners.unix_path
        places = [f"http://127.0.0.1:{tcp}"] if tcp is not None else []
        places += [f"the Unix socket {unix}"] if unix is not None else []
        return f"answers on {' and '.join(places)}; status socket {self.in_force.config.state_dir / FILE_NAME}"

    def _worker_ended(self, ended: WorkerEnded) -> None:
        self._journal.emit(Event(EventKind.WORKER, end_in_words(ended), asdict(ended)))
        self._deciding.updates.worker_ended()

    def _save_drift(self) -> None:
        self.in_force.drift.save()

    def _candidate(self) -> Candidate:
        """What agent.yaml says now. Raises TidegateError."""
        if self._reread is None:
            raise NoConfigurationError("this agent was not started from an agent.yaml; start it anew")
        return read_candidate(self.in_force.config, self._reread(), self.in_force.bundle, self._opened.board)
