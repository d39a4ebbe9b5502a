"""The supervisor: owns sockets, drivers, policy, spool and MQTT, keeps the worker, and runs the control loop."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from functools import partial
from typing import IO

from tidegate import __version__
from tidegate.boards import Profile
from tidegate.config import AgentConfig
from tidegate.documents import Document
from tidegate.messages import Served
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.errors import BundleError
from tidegate.models.ladder import OperatingPoint
from tidegate.paths import cache_directory
from tidegate.policy.decision import Decision
from tidegate.policy.learned import GENERIC
from tidegate.policy.store import PolicyStore
from tidegate.supervisor.commands import FILE_NAME as COMMANDS
from tidegate.supervisor.commands import Command, Done, ForgetDrift, serve_commands
from tidegate.supervisor.control import Control
from tidegate.supervisor.drift_record import DriftRecord
from tidegate.supervisor.events import Event, EventKind
from tidegate.supervisor.inputs import Inputs
from tidegate.supervisor.journal import Journal, Observer
from tidegate.supervisor.kept_socket import KeptSocket
from tidegate.supervisor.last_point import read_last_point, write_last_point
from tidegate.supervisor.latest_time import LatestTime
from tidegate.supervisor.left_over import FILE_NAME as WORKER_RECORD
from tidegate.supervisor.listeners import ListenerError, Listeners
from tidegate.supervisor.policy_trust import PolicyTrust
from tidegate.supervisor.policy_updates import PolicyUpdates
from tidegate.supervisor.pushed_policy import First, Reader
from tidegate.supervisor.sd_notify import notify
from tidegate.supervisor.settings import Settings
from tidegate.supervisor.status import (
    FILE_NAME,
    DecisionStatus,
    PolicyStatus,
    RungStatus,
    Status,
    TelemetryStatus,
    WorkerStatus,
    serve_status,
    show_readings,
)
from tidegate.supervisor.troubles import Troubles, trouble_with_directory
from tidegate.supervisor.worker_process import WorkerEnded, WorkerProcess
from tidegate.supervisor.worker_spec import WorkerSpec
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link import Link
from tidegate.telemetry.reported import PolicyState, Reported
from tidegate.telemetry.spool import Spool, SpoolCounters
from tidegate_drivers.controls.controls import Controls
from tidegate_drivers.sampler import Sampler

log = logging.getLogger("tidegate")

TICK_S = 0.5
"""How often the policy is consulted; a decision costs well under a millisecond."""
FIRST_READINGS_S = 1.0
"""Given to the drivers before the first decision, so that it isn't made blind."""
SOCKETS_S = 1.0
"""How often it is looked whether the sockets' files are still there."""
COUNTERS_S = 1.0
"""How long a status waits for the spool's counters; then it has those of the last time."""
TROUBLES_S = 1.0
"""How often it is looked at what does not work."""
DRAIN_S = 5.0
TASK_END_S = 6.0


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
        observers: Sequence[Observer] = (),
        worker_log: IO[bytes] | None = None,
    ) -> None:
        self.listeners = listeners
        self._config = config
        self._bundle = bundle
        self._sampler = sampler
        self._spool = spool
        self._broker = broker
        self._started_at = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._served: Served | None = None
        self._reported: Reported | None = None
        self._link: Link | None = None
        self._latest_time = latest_time
        self._verdicts = 0
        self._remembered = ""
        self._counters: SpoolCounters | None = None
        self._refreshing: asyncio.Future[SpoolCounters | None] | None = None
        device = Device(config.device, config.groups, session)
        self._journal = Journal(device.topics, spool, self._wake_link, observers)
        memory_limit = config.worker.memory_limit
        spec = WorkerSpec(
            bundle=config.bundle,
            engine=config.worker.engine,
            listening=listeners.sockets,
            cache_dir=cache_directory(),
            keep_bytes=int(config.worker.keep_resident),
            spin=config.worker.spin,
            memory_limit_bytes=None if memory_limit is None else int(memory_limit),
            log_file=worker_log,
            bundle_sha256=bundle.sha256,
            record=config.state_dir / WORKER_RECORD,
        )
        self._drift = DriftRecord(config.state_dir, bundle.sha256, bundle.ladder, self._journal.emit)
        self._inputs = Inputs(config.inputs.max_age, self._journal.emit)
        point = read_last_point(config.state_dir, bundle.ladder)
        if point in self._drift.demotions:
            point = bundle.ladder.full.name
        self._worker = WorkerProcess(spec, point, self._worker_ended)
        self._troubles = Troubles(self._journal.emit)
        self._troubles.watch("state directory", partial(trouble_with_directory, config.state_dir))
        self._troubles.watch("spool", lambda: spool.problem)
        self._control = Control(
            ladder=bundle.ladder,
            policy=first.running.policy,
            worker=self._worker,
            sensors=sampler,
            drift=self._drift,
            inputs=self._inputs.readings,
            emit=self._journal.emit,
            prior=GENERIC if profile is None else profile.device.prior,
        )
        self._settings = Settings(controls, self._journal.emit)
        self._updates = PolicyUpdates(
            store=store,
            first=first,
            reader=Reader(local, None if profile is None else profile.board, lambda: self._control.runnable),
            latest_time=latest_time,
            control=self._control,
            worker=self._worker,
            allow_unsigned=config.allow_unsigned,
            emit=self._journal.emit,
        )
        self._trust = PolicyTrust(store, latest_time, self._updates, self._journal.emit)
        if broker is not None:
            self._link = Link(
                broker, device, spool, on_policy=self._updates.receive, on_input=self._inputs.receive
            )
            self._troubles.watch("broker", partial(_broker_trouble, self._link))

    async def run(self, stop: asyncio.Event) -> bool:
        """Serve until `stop`; then let the worker finish, drain the spool, and leave nothing behind.

        Serves no longer either when the bundle has been replaced and is needed: True then.
        """
        async with AsyncExitStack() as closing:
            closing.push_async_callback(asyncio.to_thread, self._journal.close, DRAIN_S)
            await self.refresh()
            kept = (
                KeptSocket(
                    self._config.state_dir / FILE_NAME,
                    lambda path: serve_status(path, self.status, self.refresh),
                ),
                KeptSocket(self._config.state_dir / COMMANDS, lambda path: serve_commands(path, self._do)),
            )
            for each in kept:
                await each.start()
                closing.push_async_callback(each.close)
            closing.callback(self._close_listeners)
            closing.callback(self._drift.save)
            closing.callback(self._latest_time.write)
            self._sampler.start()
            closing.callback(self._sampler.stop)
            if self._link is not None:
                self._link.start()
                # Its farewell waits for the broker, and a policy arriving meanwhile needs this loop.
                closing.push_async_callback(asyncio.to_thread, self._link.stop, DRAIN_S)
            closing.push_async_callback(asyncio.to_thread, self._journal.flush, DRAIN_S)
            closing.callback(self._journal.tell_folded, everything=True)
            await closing.enter_async_context(self._settings.kept())
            tasks = [
                asyncio.create_task(coroutine)
                for coroutine in (
                    self._worker.run(),
                    self._control_loop(),
                    self._telemetry_loop(),
                    self._socket_loop(kept),
                    self._trouble_loop(),
                )
            ]
            stopping = asyncio.create_task(stop.wait())
            superseded = asyncio.create_task(self._superseded())
            await asyncio.wait([*tasks, stopping, superseded], return_when=asyncio.FIRST_COMPLETED)
            notify(STOPPING=1)
            await self._send_telemetry()
            await self._worker.stop()
            over = superseded.done() and not stop.is_set()
            for task in (*tasks[1:], stopping, superseded):
                task.cancel()
            _, late = await asyncio.wait(tasks, timeout=TASK_END_S)
            for task in late:
                task.cancel()
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        return over

    def status(self) -> Status:
        """Everything there is to show."""
        worker, control = self._worker, self._control
        decision = control.decision
        running = self._updates.state.running
        point = self._point(worker.point)
        return Status(
            device=self._config.device,
            version=__version__,
            uptime_s=round(time.monotonic() - self._started_at, 1),
            model=self._bundle.model,
            engine=worker.engine,
            point=point.name,
            certified_risk=point.certified_risk,
            switches=control.switches,
            policy_pushes_applied=self._updates.state.accepted,
            policy=PolicyStatus(running.policy.name, running.policy.version, running.digest, running.origin),
            decision=None if decision is None else _shown(decision),
            ladder=tuple(_rung(each, worker.refused.get(each.name, "")) for each in self._bundle.ladder.points),
            readings=show_readings(control.snapshot()),
            worker=WorkerStatus(worker.state, worker.pid, worker.restarts),
            telemetry=self._telemetry_status(),
            served=self._served,
            explanation=None if decision is None else control.explanation(self._settings.obstacles),
            demotions=tuple(self._drift.demotions.values()),
            troubles=self._troubles.now,
            recent=tuple(event.document() for event in self._journal.recent),
        )

    async def refresh(self) -> None:
        """Have the next `status` count what the spool holds now, unless the disk takes long to say."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.ensure_future(asyncio.to_thread(lambda: self._spool.counters))
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNTERS_S):
                self._counters = await asyncio.shield(self._refreshing)

    async def wait_ready(self) -> None:
        """Return once requests are answered."""
        await self._worker.wait_ready()

    async def _control_loop(self) -> None:
        await asyncio.sleep(FIRST_READINGS_S)
        await self._worker.wait_ready()
        notify(READY=1)
        await self._updates.check_running()
        running = self._updates.state.running.policy
        log.info(
            "ready: %s at %s by policy %s version %d; %s",
            self._bundle.model,
            self._worker.point,
            running.name,
            running.version,
            self._addresses(),
        )
        while True:
            await self._control.step()
            if self._control.decision is not None:
                self._settings.want(self._control.decision.controls)
            self._remember_point(self._worker.point)
            self._journal.tell_folded()
            self._report()
            # Fed by the loop's own progress: a loop that hangs is a service that hangs.
            notify(WATCHDOG=1, STATUS=f"{self._worker.point}, worker {self._worker.state}")
            await asyncio.sleep(TICK_S)

    async def _superseded(self) -> None:
        """Return once a worker needs the bundle and finds another one, which can be opened."""
        told = ""
        while True:
            await self._worker.bundle_changed.wait()
            self._worker.bundle_changed.clear()
            path, old = self._config.bundle, self._bundle.sha256
            try:
                new = await asyncio.to_thread(open_bundle, path)
            except (BundleError, OSError) as error:
                text = f"{path} is not the bundle any more that was opened ({old[:12]}...), and is none: {error}"
            else:
                if new.sha256 == old:
                    continue
                text = (
                    f"{path} holds another bundle ({new.model}, {new.sha256[:12]}...) than was opened "
                    f"({self._bundle.model}, {old[:12]}...): starting over with it"
                )
                self._journal.emit(Event(EventKind.BUNDLE, text, {"opened": old, "found": new.sha256}))
                return
            if text != told:
                told = text
                self._journal.emit(Event(EventKind.BUNDLE, text, {"opened": old, "found": None}))

    async def _socket_loop(self, kept: Sequence[KeptSocket]) -> None:
        """Bring back the sockets whose files somebody deletes."""
        told = ""
        while True:
            await asyncio.sleep(SOCKETS_S)
            for each in kept:
                await each.look()
            try:
                restored = await asyncio.to_thread(self.listeners.restored)
            except ListenerError as error:
                if str(error) != told:
                    told = str(error)
                    self._journal.emit(Event(EventKind.SOCKET, told, {}))
                continue
            if restored is None:
                continue
            before, self.listeners, told = self.listeners, restored, ""
            text = f"{restored.unix_path}: somebody deleted it; it is listened on again, by another worker"
            self._journal.emit(Event(EventKind.SOCKET, text, {}))
            await self._worker.renew(restored.sockets, "its socket's file had been deleted")
            before.sockets[0].close()

    def _close_listeners(self) -> None:
        self.listeners.close()  # those of the end, not of the beginning

    def _remember_point(self, point: str) -> None:
        """Written when it changes, and by another thread: nothing here waits for a disk."""
        if point != self._remembered:
            self._remembered = point
            self._loop.run_in_executor(None, write_last_point, self._config.state_dir, point)

    async def _telemetry_loop(self) -> None:
        while True:
            await asyncio.sleep(self._config.telemetry.window)
            await self._send_telemetry()
            await self._updates.upkeep()

    async def _trouble_loop(self) -> None:
        while True:
            # In a thread: a disk that hangs must not take the loop with it.
            self._troubles.tell(await asyncio.to_thread(self._troubles.ask))
            for incident in await asyncio.to_thread(self._spool.take_incidents):
                self._journal.emit(Event(EventKind.FAULT, incident, {"part": "spool"}))
            await asyncio.sleep(TROUBLES_S)

    def _addresses(self) -> str:
        """Where it listens, in words."""
        tcp, unix = self.listeners.tcp_port, self.listeners.unix_path
        places = [f"http://127.0.0.1:{tcp}"] if tcp is not None else []
        places += [f"the Unix socket {unix}"] if unix is not None else []
        return f"answers on {' and '.join(places)}; status socket {self._config.state_dir / FILE_NAME}"

    async def _send_telemetry(self) -> None:
        self._served = await self._worker.report()
        if self._served is not None:
            self._control.note_served(self._served)
        await self.refresh()
        status = self.status()
        document: dict[str, object] = {
            "at": time.time(),
            "operating_point": status.point,
            "certified_risk": status.certified_risk,
            "policy": asdict(status.policy),
            "readings": {name: asdict(reading) for name, reading in status.readings.items()},
            "served": None if status.served is None else asdict(status.served),
            "worker": asdict(status.worker),
        }
        self._journal.telemetry(document, time.time())

    def _report(self) -> None:
        """Retain what runs now on the `reported` topic, when it has changed."""
        if self._link is None:
            return
        updates = self._updates.state
        running = updates.running
        policy = running.policy
        reported = Reported(
            agent_version=__version__,
            policy=PolicyState(
                policy.version, running.digest, "trial" if updates.on_trial else "accepted", "", policy.name
            ),
            refused=updates.refused,
            bundle=self._bundle.sha256,
            operating_point=self._worker.point,
            certified_risk=self._point(self._worker.point).certified_risk,
            demoted=tuple(self._drift.demotions),
            groups=self._config.groups,
        )
        # A push that meets the same verdict as the one before gets its answer too.
        if reported != self._reported or updates.results != self._verdicts:
            self._reported, self._verdicts = reported, updates.results
            self._link.report(reported.to_document())

    def _worker_ended(self, ended: WorkerEnded) -> None:
        then = f"the next one starts at {ended.next_point}"
        text = f"worker {ended.pid} ended at {ended.point}: {ended.reason}; {then}"
        self._journal.emit(Event(EventKind.WORKER, text, asdict(ended)))
        self._updates.worker_ended()

    async def _do(self, command: Command) -> Done:
        if isinstance(command, ForgetDrift):
            return Done(self._drift.forget(command.point))
        return await self._trust.do(command)

    def _wake_link(self) -> None:
        if self._link is not None:
            self._link.wake()

    def _point(self, name: str) -> OperatingPoint:
        return self._bundle.ladder.points[self._bundle.ladder.rung(name)]

    def _telemetry_status(self) -> TelemetryStatus:
        counters = self._counters
        state = None if self._link is None else self._link.counters.state
        link = "no broker configured" if state is None else state.state
        return TelemetryStatus(
            link=link,
            broker=None if self._broker is None else str(self._broker),
            spooled=None if counters is None else counters.put,
            published=None if counters is None else counters.acknowledged,
            waiting=None if counters is None else counters.waiting,
            dropped=None if counters is None else dict(counters.dropped),
            reason="" if state is None else state.reason,
            since=None if state is None or not state.since else state.since,
            in_memory=None if counters is None else counters.in_memory,
        )


def _broker_trouble(link: Link) -> str | None:
    state = link.counters.state
    if state.reason in {"", "not started"}:
        return None
    return state.reason


def _shown(decision: Decision) -> DecisionStatus:
    return DecisionStatus(decision.wanted, decision.rule, decision.reason, decision.fits, decision.held_back)


def _rung(point: OperatingPoint, refused: str) -> RungStatus:
    figures = point.figures
    return RungStatus(point.name, point.certified_risk, figures.accuracy, figures.latency_p50_ms, refused)
