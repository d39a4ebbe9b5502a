"""The supervisor: owns sockets, drivers, policy, spool and MQTT, keeps the worker, and runs the control loop."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from functools import partial
from typing import IO

from agent import __version__
from agent.boards import Profile
from agent.config import AgentConfig
from agent.documents import Document
from agent.messages import Served
from agent.models.bundle import Bundle
from agent.models.ladder import OperatingPoint
from agent.paths import cache_directory
from agent.policy.decision import Decision
from agent.policy.learned import GENERIC
from agent.policy.store import PolicyStore
from agent.supervisor.commands import FILE_NAME as COMMANDS
from agent.supervisor.commands import serve_commands
from agent.supervisor.control import Control
from agent.supervisor.drift_record import DriftRecord
from agent.supervisor.events import Event, EventKind
from agent.supervisor.inputs import Inputs
from agent.supervisor.journal import Journal, Observer
from agent.supervisor.keeper import WorkerEnded, WorkerKeeper, WorkerSpec
from agent.supervisor.last_point import read_last_point, write_last_point
from agent.supervisor.listeners import Listeners
from agent.supervisor.pushes import Pushes, Running
from agent.supervisor.sd_notify import notify
from agent.supervisor.settings import Settings
from agent.supervisor.status import (
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
from agent.supervisor.troubles import Troubles, trouble_with_directory
from agent.telemetry.broker import Broker
from agent.telemetry.device import Device
from agent.telemetry.link import Link
from agent.telemetry.reported import PolicyState, Reported
from agent.telemetry.spool import Spool
from drivers.controls.controls import Controls
from drivers.sampler import Sampler

log = logging.getLogger("tidegate")

TICK_S = 0.5
"""How often the policy is consulted; a decision costs well under a millisecond."""
FIRST_READINGS_S = 1.0
"""Given to the drivers before the first decision, so that it isn't made blind."""
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
        running: Running,
        store: PolicyStore,
        sampler: Sampler,
        controls: Controls,
        spool: Spool,
        listeners: Listeners,
        broker: Broker | None,
        session: int,
        profile: Profile | None = None,
        below: Sequence[Document] = (),
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
        )
        self._drift = DriftRecord(config.state_dir, bundle.sha256, bundle.ladder, self._journal.emit)
        self._inputs = Inputs(config.inputs.max_age, self._emit_from_any_thread)
        first = read_last_point(config.state_dir, bundle.ladder)
        if first in self._drift.demotions:
            first = bundle.ladder.full.name
        self._keeper = WorkerKeeper(spec, first, self._worker_ended)
        self._troubles = Troubles(self._journal.emit)
        self._troubles.watch("state directory", partial(trouble_with_directory, config.state_dir))
        self._troubles.watch("spool", lambda: spool.problem)
        self._control = Control(
            ladder=bundle.ladder,
            policy=running.policy,
            keeper=self._keeper,
            sampler=sampler,
            drift=self._drift,
            inputs=self._inputs.readings,
            emit=self._journal.emit,
            prior=GENERIC if profile is None else profile.device.prior,
        )
        self._settings = Settings(controls, self._journal.emit)
        self._pushes = Pushes(
            store=store,
            running=running,
            control=self._control,
            keeper=self._keeper,
            allow_unsigned=config.allow_unsigned,
            board=None if profile is None else profile.board,
            below=below,
            emit=self._journal.emit,
        )
        if broker is not None:
            self._link = Link(broker, device, spool, on_policy=self._pushes.receive, on_input=self._inputs.receive)
            self._troubles.watch("broker", partial(_broker_trouble, self._link))

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`; then let the worker finish, drain the spool, and leave nothing behind."""
        async with AsyncExitStack() as closing:
            try:
                status_server = await serve_status(self._config.state_dir / FILE_NAME, self.status)
                closing.push_async_callback(_close, status_server)
                commands = await serve_commands(self._config.state_dir / COMMANDS, self._drift.forget)
                closing.push_async_callback(_close, commands)
            except OSError as why:
                # A model that answers is worth more than a status that tells of it.
                log.error("%s: no status and no commands here: %s", self._config.state_dir, why)  # noqa: TRY400
            closing.callback(self._drift.save)
            self._sampler.start()
            closing.callback(self._sampler.stop)
            if self._link is not None:
                self._link.start()
                # Its farewell waits for the broker, and a policy arriving meanwhile needs this loop.
                closing.push_async_callback(asyncio.to_thread, self._link.stop, DRAIN_S)
            await closing.enter_async_context(self._settings.kept())
            tasks = [
                asyncio.create_task(coroutine)
                for coroutine in (
                    self._keeper.run(),
                    self._control_loop(),
                    self._telemetry_loop(),
                    self._trouble_loop(),
                )
            ]
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            notify(STOPPING=1)
            await self._send_telemetry()
            await self._keeper.stop()
            for task in (*tasks[1:], stopping):
                task.cancel()
            _, late = await asyncio.wait(tasks, timeout=TASK_END_S)
            for task in late:
                task.cancel()
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    def status(self) -> Status:
        """Everything there is to show."""
        keeper, control = self._keeper, self._control
        decision = control.decision
        running = self._pushes.running
        point = self._point(keeper.point)
        return Status(
            device=self._config.device,
            version=__version__,
            uptime_s=round(time.monotonic() - self._started_at, 1),
            model=self._bundle.model,
            engine=keeper.engine,
            point=point.name,
            certified_risk=point.certified_risk,
            switches=control.switches,
            policy_pushes_applied=self._pushes.applied,
            policy=PolicyStatus(running.policy.name, running.policy.version, running.digest, running.origin),
            decision=None if decision is None else _shown(decision),
            ladder=tuple(_rung(each) for each in self._bundle.ladder.points),
            readings=show_readings(control.snapshot()),
            worker=WorkerStatus(keeper.state, keeper.pid, keeper.restarts),
            telemetry=self._telemetry_status(),
            served=self._served,
            explanation=None if decision is None else control.explanation(self._settings.obstacles),
            demotions=tuple(self._drift.demotions.values()),
            troubles=self._troubles.now,
            recent=tuple(event.document() for event in self._journal.recent),
        )

    async def wait_ready(self) -> None:
        """Return once requests are answered."""
        await self._keeper.wait_ready()

    async def _control_loop(self) -> None:
        await asyncio.sleep(FIRST_READINGS_S)
        await self._keeper.wait_ready()
        notify(READY=1)
        running = self._pushes.running.policy
        log.info(
            "ready: %s at %s by policy %s version %d; %s",
            self._bundle.model,
            self._keeper.point,
            running.name,
            running.version,
            self._addresses(),
        )
        while True:
            await self._control.step()
            if self._control.decision is not None:
                self._settings.want(self._control.decision.controls)
            write_last_point(self._config.state_dir, self._keeper.point)
            self._report()
            # Fed by the loop's own progress: a loop that hangs is a service that hangs.
            notify(WATCHDOG=1, STATUS=f"{self._keeper.point}, worker {self._keeper.state}")
            await asyncio.sleep(TICK_S)

    async def _telemetry_loop(self) -> None:
        while True:
            await asyncio.sleep(self._config.telemetry.window)
            await self._send_telemetry()

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
        self._served = await self._keeper.report()
        if self._served is not None:
            self._control.note_served(self._served)
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
        running = self._pushes.running
        policy = running.policy
        reported = Reported(
            agent_version=__version__,
            policy=PolicyState(policy.version, running.digest, "accepted", "", policy.name),
            refused=self._pushes.refused,
            bundle=self._bundle.sha256,
            operating_point=self._keeper.point,
            certified_risk=self._point(self._keeper.point).certified_risk,
            demoted=tuple(self._drift.demotions),
            groups=self._config.groups,
        )
        if reported != self._reported:
            self._reported = reported
            self._link.report(reported.to_document())

    def _worker_ended(self, ended: WorkerEnded) -> None:
        then = f"the next one starts at {ended.next_point}"
        text = f"worker {ended.pid} ended at {ended.point}: {ended.reason}; {then}"
        self._journal.emit(Event(EventKind.WORKER, text, asdict(ended)))

    def _emit_from_any_thread(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._journal.emit, event)

    def _wake_link(self) -> None:
        if self._link is not None:
            self._link.wake()

    def _point(self, name: str) -> OperatingPoint:
        return self._bundle.ladder.points[self._bundle.ladder.rung(name)]

    def _telemetry_status(self) -> TelemetryStatus:
        counters = self._spool.counters
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


async def _close(server: asyncio.Server) -> None:
    server.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await server.wait_closed()


def _shown(decision: Decision) -> DecisionStatus:
    return DecisionStatus(decision.wanted, decision.rule, decision.reason, decision.fits, decision.held_back)


def _rung(point: OperatingPoint) -> RungStatus:
    return RungStatus(point.name, point.certified_risk, point.figures.accuracy, point.figures.latency_p50_ms)
