"""The supervisor: it owns sockets, drivers, policy, spool and MQTT, and runs worker and loops.

The parts are wired together in wiring/.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import IO, TYPE_CHECKING

from tidegate.config import AgentConfig, Web
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.paths import cache_directory
from tidegate.supervisor.bundle_watch import wait_superseded
from tidegate.supervisor.bundles.bundle_swap import TRIAL_S, BundleSwap
from tidegate.supervisor.bundles.bundle_updates import BundleUpdates
from tidegate.supervisor.control.brown_outs import loss_told
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.control.last_run import RunRecord, boot_id
from tidegate.supervisor.control.loop import ControlLoop
from tidegate.supervisor.endpoint_access import certificate_trouble
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.events.journal import Observer
from tidegate.supervisor.failed_upgrade import failed_upgrade, tell_once
from tidegate.supervisor.footage_watch import FootageState, look_after
from tidegate.supervisor.home_assistant import HomeAssistant
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.local_commands import LocalCommands
from tidegate.supervisor.models.following import Following
from tidegate.supervisor.opened import Opened
from tidegate.supervisor.own_certificate import certificate_told
from tidegate.supervisor.recount.recounting import Recounting
from tidegate.supervisor.reload.candidate import Candidate, read_candidate
from tidegate.supervisor.reload.reload import Reload
from tidegate.supervisor.reload.swap import Swap
from tidegate.supervisor.sd_notify import notify
from tidegate.supervisor.sockets.commands import FILE_NAME as COMMANDS
from tidegate.supervisor.sockets.commands import serve_commands
from tidegate.supervisor.sockets.kept_socket import KeptSocket
from tidegate.supervisor.sockets.listeners import Listeners
from tidegate.supervisor.sockets.socket_watch import Missing
from tidegate.supervisor.status.reporter import Reporter
from tidegate.supervisor.status.served_windows import ServedWindows
from tidegate.supervisor.status.socket import FILE_NAME, serve_status
from tidegate.supervisor.status.state_source import StateSource
from tidegate.supervisor.status.status import Status
from tidegate.supervisor.system_sleep import SystemSleep
from tidegate.supervisor.unit_network import UnitNetwork
from tidegate.supervisor.updates.verdicts import BUNDLES_FILE_NAME, VerdictFile
from tidegate.supervisor.watchdog import Watchdog
from tidegate.supervisor.wiring.deciding import wire_deciding
from tidegate.supervisor.wiring.reporting import wire_reporting
from tidegate.supervisor.wiring.serving import wire_serving
from tidegate.supervisor.worker.process import WorkerEnded, end_in_words
from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.topics import is_bundle

if TYPE_CHECKING:
    from tidegate.supervisor.web.pages import WebPages

log = logging.getLogger("tidegate")

LOOK_S = 10.0
"""How often it is written what is due on the disk, and looked at what does not work and whether sockets stand."""
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
        now_and_then: Callable[[], None] = lambda: None,
        observers: Sequence[Observer] = (),
        worker_log: IO[bytes] | None = None,
    ) -> None:
        self._opened = opened
        self._reread = reread
        self._now_and_then = now_and_then
        self._reporting = reporting = wire_reporting(config, opened, observers)
        self._journal = reporting.journal
        emit = self._journal.emit
        drift = DriftRecord(config.state_dir, opened.certified.identity, opened.bundle.ladder, emit)
        if faults := (*opened.state_faults, *((drift.damage,) if drift.damage else ())):
            reporting.troubles.note("state", "; ".join(faults))
        serving = wire_serving(
            config, opened, drift, log_file=worker_log, worker_ended=self._worker_ended, emit=emit
        )
        self._worker, self._sockets = serving.worker, serving.sockets
        self._run_record = RunRecord(config.state_dir, boot_id(), lambda: self.in_force.bundle.sha256)
        self._deciding = deciding = wire_deciding(
            config, opened, self._worker, drift, emit, reporting.heard, lambda: self.in_force
        )
        self._swap = Swap(
            InForce(config, opened.bundle, drift, opened.certified),
            worker=self._worker,
            deciding=deciding,
            link=reporting.link,
            receive=self._receive,
            board=opened.board,
            session=opened.session,
            emit=emit,
        )
        if opened.certified.own is not None:
            emit(certificate_told(opened.certified))
        failed = failed_upgrade()
        if failed is not None:
            tell_once(failed, config.state_dir, emit)
        if opened.guard.climbs and opened.last_run is not None:
            emit(loss_told(opened.last_run, opened.guard))
        reporting.troubles.watch("state schema", opened.schema.trouble)
        reporting.troubles.watch("supply", lambda: deciding.control.put_off)
        reporting.troubles.watch("listen", self._certificate)
        reporting.troubles.watch("models", lambda: self._worker.board.trouble)
        reporting.troubles.watch("certificate", self._own_certificate)
        reporting.troubles.watch("network", UnitNetwork(lambda: self.in_force.config).look)
        self._served = ServedWindows(self._worker, deciding.control)
        self._footage: FootageState | None = None
        self._footage_stays = ""
        reporting.troubles.watch("footage", self._footage_trouble)
        self.reload = Reload(
            self._candidate,
            self._bring,
            ready=lambda: self._control_loop.ready,
            troubles=reporting.troubles,
            emit=emit,
        )
        self._bundle_swap = BundleSwap(
            self._swap,
            self.reload,
            worker=self._worker,
            deciding=deciding,
            served=self._served,
            link=reporting.link,
        )
        self._bundles = BundleUpdates(
            store=opened.slots,
            first=opened.first_bundle,
            service=self._bundle_swap,
            keys=deciding.keys,
            latest_time=opened.latest_time,
            want=self._want_chunks,
            snapshot=deciding.control.snapshot,
            verdict_file=VerdictFile(config.state_dir, BUNDLES_FILE_NAME),
            emit=emit,
            trial_s=TRIAL_S,
            counts=reporting.heard,
        )
        self._recounting = Recounting(
            config.state_dir,
            cache_directory(),
            lambda: self.in_force,
            self._worker,
            deciding.control,
            emit,
        )
        self._state = StateSource(
            lambda: self.in_force,
            self._worker,
            deciding,
            self._bundles,
            reporting,
            self._served,
            failed,
            latest_s=lambda: self._control_loop.latest_s,
            footage=lambda: self._footage,
            certificate=lambda: self._recounting.report,
        )
        self._web = None if config.web is None else self._pages(config.web)
        self._reporter = Reporter(self._journal, reporting.link, self._state.state, self._state.retained)
        self._home_assistant = HomeAssistant(
            config.state_dir,
            reporting.link,
            deciding.control,
            self._state.state,
            emit,
            enabled=config.home_assistant,
            may_hold=config.remote_hold,
            models=lambda: tuple(each.name for each in self.in_force.config.models),
            again=self._send_window,
            counts=reporting.heard,
        )
        self._home_assistant.listen(config.device)
        reporting.link.hear(reporting.device.topics.chunk, self._receive_chunk)
        reporting.link.use(opened.broker, reporting.device, self._receive, deciding.inputs.receive)
        watchdog = Watchdog(lambda: self._worker.stuck)
        self._worker.on_answer = watchdog.worker_answered
        self._control_loop = ControlLoop(
            control=deciding.control,
            worker=self._worker,
            following=Following(deciding.control, self._worker, emit),
            updates=deciding.updates,
            settings=deciding.settings,
            journal=self._journal,
            reporter=self._reporter,
            watchdog=watchdog,
            run_record=self._run_record,
            keep_losses=lambda losses: opened.brown_outs.keep(self.in_force.bundle.sha256, losses),
            system_sleep=SystemSleep(
                config.suspend,
                keep=self._keep_for_suspension,
                back=self._run_record.goes_on,
                refresh=opened.sampler.read_again,
                emit=emit,
            ),
        )
        deciding.inputs.on_change = self._control_loop.reading_changed
        self._journal.observe(self._control_loop.happened)
        self._commands = LocalCommands(
            lambda: self.in_force, self.reload, deciding.trust, self._worker, self._recounting
        )

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
            if self._web is not None:
                await self._web.serve(closing)
                self._state.web_address = self._web.address
            closing.callback(self._sockets.close)
            closing.callback(self._save_drift)
            closing.callback(self._opened.latest_time.write)
            closing.callback(self._deciding.updates.keep_verdicts)
            closing.callback(self._bundles.keep_verdicts)
            self._opened.sampler.start(self._control_loop.reading_changed)
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

    def _pages(self, config: Web) -> "WebPages":
        # Not at the top: most agents serve no page.
        from tidegate.supervisor.web.page import StatusPage  # noqa: PLC0415 - see above
        from tidegate.supervisor.web.pages import WebPages  # noqa: PLC0415 - see above

        state, served = self._state, self._served
        page = StatusPage(state.state, state.status, lambda: served.totals, self._deciding.control.what_if)
        return WebPages(config, page, state.state, lambda: served.totals)

    async def _run_worker(self, stop: asyncio.Event, kept: Sequence[KeptSocket]) -> bool:
        """Have a worker while the loops run; it outlives them, to finish what it was asked."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._worker.run())
            self._bundles.start()
            try:
                return await self._run_loops(stop, kept)
            finally:
                notify(STOPPING=1)
                await self._bundles.stop()
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
                    self._look_loop(kept),
                    self._home_assistant.run(),
                    self._recounting.run(),
                    self._deciding.certificates.run(self._certify_anew),
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

    async def _look_loop(self, kept: Sequence[KeptSocket]) -> None:
        while True:
            # In a thread, as a disk that hangs must not take the loop with it, and in one go: each call of a
            # thread wakes an idle device several times.
            now_s = self._opened.latest_time.now().timestamp()
            found, incidents, missing = await asyncio.to_thread(self._look, kept, now_s)
            self._reporting.troubles.tell(found)
            for incident in incidents:
                self._journal.emit(Event(EventKind.FAULT, incident, {"part": "spool"}))
            await self._sockets.mend(missing)
            self._deciding.updates.tell_clock()
            self._now_and_then()
            await asyncio.sleep(LOOK_S)

    def _look(
        self, kept: Sequence[KeptSocket], now_s: float
    ) -> tuple[dict[str, str | None], tuple[str, ...], Missing]:
        self._look_at_footage(now_s)
        self._deciding.updates.write_down()
        self._bundles.write_down()
        return self._reporting.troubles.ask(), self._opened.spool.take_incidents(), self._sockets.look(kept)

    async def _send_window(self) -> None:
        await self._served.refresh()
        await self._reporting.spool_counts.refresh()
        self._reporter.send_window()
        if self._web is not None:
            self._web.page.note()

    def _look_at_footage(self, now_s: float) -> None:
        self._footage_stays = ""
        try:
            self._footage = look_after(self.in_force.config, now_s)
        except OSError as error:
            self._footage_stays = (
                f"{error.filename}: {error.strerror}; frames are still there, delete them by hand"
            )

    def _footage_trouble(self) -> str | None:
        served = self._served.latest
        told = (
            ""
            if served is None or not served.footage_trouble
            else f"frames are not kept: {served.footage_trouble}"
        )
        return self._footage_stays or told or None

    def _certificate(self) -> str | None:
        trouble = certificate_trouble(self._worker.spec.access.tls, time.time())
        return None if trouble is None else f"{trouble.said}; {trouble.way_out}"

    def _own_certificate(self) -> str | None:
        certified = self.in_force.certified
        return None if certified is None else certified.trouble

    def _addresses(self) -> str:
        """Where it listens, in words."""
        tcp, unix, listen = self.listeners.tcp_port, self.listeners.unix_path, self.in_force.config.listen
        scheme = "http" if listen.tls is None else "https"
        host = f"[{listen.address}]" if ":" in listen.address else listen.address
        places = [f"{scheme}://{host}:{tcp}"] if tcp is not None else []
        places += [f"the Unix socket {unix}"] if unix is not None else []
        return f"answers on {' and '.join(places)}; status socket {self.in_force.config.state_dir / FILE_NAME}"

    def _worker_ended(self, ended: WorkerEnded) -> None:
        self._journal.emit(Event(EventKind.WORKER, end_in_words(ended), asdict(ended)))
        self._deciding.updates.worker_ended()
        self._bundles.worker_ended()

    def _keep_for_suspension(self) -> None:
        """A power board may cut the power for the time of a sleep: that is no loss, and what is known is kept."""
        self._run_record.ended()
        self._save_drift()
        self._opened.latest_time.write()
        self._journal.flush(DRAIN_S)

    def _save_drift(self) -> None:
        self.in_force.drift.save()

    def _candidate(self) -> Candidate:
        """What agent.yaml says now. Raises TidegateError."""
        if self._reread is None:
            raise NoConfigurationError("this agent was not started from an agent.yaml; start it anew")
        wanted, in_force = self._reread(), self.in_force
        path = self._bundles.path_for(wanted.bundle)
        models = self._worker.board.models
        return read_candidate(in_force.config, wanted, path, self._opened.board, models)

    async def _bring(self, candidate: Candidate) -> tuple[str, ...]:
        kept_before = self.in_force.config.footage
        changed = await self._swap.bring(candidate)
        self._bundles.note_in_force()
        if kept_before is not None and candidate.config.footage is None:
            await self._worker.retired()  # until then it may write a frame
            now_s = self._opened.latest_time.now().timestamp()
            await asyncio.to_thread(self._look_at_footage, now_s)
            changed += ("footage: none is kept, and what there was is deleted",)
        return changed

    async def _certify_anew(self) -> None:
        """Go by the certificates there are now. Raises TidegateError, WorkerDown; nothing has changed then."""
        await self._bundle_swap.certify_anew()
        if (certified := self.in_force.certified) is not None and certified.own is not None:
            self._journal.emit(certificate_told(certified))

    def _receive(self, topic: str, payload: bytes) -> None:
        """Take what was pushed; raises when it could not be made durable. On MQTT's thread."""
        (self._bundles if is_bundle(topic) else self._deciding).receive(topic, payload)
        self._control_loop.pushed()

    def _receive_chunk(self, packed: bytes, _retained: bool) -> None:
        self._bundles.receive_chunk(packed)

    def _want_chunks(self, document: Mapping[str, object] | None) -> None:
        payload = b"" if document is None else to_json(document)
        self._reporting.link.retain(self._reporting.device.topics.chunks_wanted, payload)
