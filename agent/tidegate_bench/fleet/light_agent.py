"""An agent without a model: what it says and takes over MQTT is the real code, what it measures is made up.

Real are link, spool, trusted keys, pushed policies with store and trial, control loop, drift guard and report.
Left out are the worker, the drivers, the endpoint and the process around them.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tidegate import __version__
from tidegate.documents import Document
from tidegate.messages import AdmissionState, Served, ShadowCount, Switched
from tidegate.models.bundle import Bundle
from tidegate.policy.drift import DriftTest
from tidegate.policy.store import PolicyStore
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.rendering import as_reported, as_telemetry
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.policy_updates import PolicyUpdates
from tidegate.supervisor.updates.pushed_policy import Reader, first_policy
from tidegate.supervisor.updates.verdicts import VerdictFile
from tidegate.supervisor.worker.process import WorkerState
from tidegate.supervisor.worker.rest import Rest
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.link import Link, LinkState
from tidegate.telemetry.spool import Spool
from tidegate.trust.trusted_keys import TrustedKeys
from tidegate_drivers.reading import Snapshot

WORSE = "worse"
"""What the name of a policy begins with under which one answer in a hundred more disagrees than is certified."""
WORSE_BY = 0.01
_SPOOL_BYTES, _SPOOL_AGE_S = 4 << 20, 7 * 86_400.0


class _Worker:
    """Follows and answers at once."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.refused: dict[str, str] = {}
        self.held_point: str | None = None

    async def wait_ready(self) -> None:
        """It is."""

    async def ping(self) -> None:
        """It answers."""

    async def sleep(self, rest: Rest) -> None:
        """Nothing to rest."""

    def wake(self) -> None:
        """Nothing to wake."""

    def set_admission(self, state: AdmissionState) -> None:
        """Nobody asks it anything."""

    async def switch(self, point: str) -> Switched:
        """Be there."""
        self.point = point
        return Switched(0, True, point, 0.0, 0.0, 1.0)


class _NoSensors:
    def snapshot(self) -> Snapshot:
        """Nothing is known."""
        return Snapshot(time.monotonic(), {})


@dataclass(frozen=True, slots=True)
class Shared:
    """What all agents of a process have in common; `local` is the policy each starts with."""

    broker: Broker
    bundle: Bundle
    local: Document
    keys: TrustedKeys


class LightAgent:
    """Belongs to the event loop that makes it. Use as a context manager.

    `online_at_s` are the monotonic times, comparable between processes, at which its link came up.
    """

    def __init__(self, shared: Shared, name: str, groups: Sequence[str], directory: Path, random: Random) -> None:
        self.online_at_s: list[float] = []
        self._shared = shared
        self._random = random
        self._device = Device(name, tuple(groups), 1)
        self._began_s = time.monotonic()
        self._last: object = None
        bundle = shared.bundle
        self._worker = _Worker(bundle.ladder.full.name)
        store, latest_time = PolicyStore(directory), LatestTime(directory)
        first = first_policy(store, Reader(shared.local, None, lambda: bundle.ladder))
        self.drift = DriftRecord(directory, bundle.sha256, bundle.ladder, self._emit)
        self._control = control = Control(
            ladder=bundle.ladder,
            policy=first.running.policy,
            worker=self._worker,
            sensors=_NoSensors(),
            drift=self.drift,
            emit=self._emit,
        )
        self._keys = KeyStore(directory, shared.keys, latest_time, self._emit)
        self.updates = PolicyUpdates(
            store=store,
            first=first,
            reader=Reader(shared.local, None, lambda: control.runnable),
            latest_time=latest_time,
            control=control,
            worker=self._worker,
            keys=self._keys,
            allow_unsigned=False,
            verdict_file=VerdictFile(directory),
            snapshot=control.snapshot,
            emit=self._emit,
        )
        with ExitStack() as closing:
            self.spool = Spool(directory / "spool.db", _SPOOL_BYTES, _SPOOL_AGE_S)
            closing.callback(self.spool.close)
            self.link = Link(
                shared.broker,
                self._device,
                self.spool,
                on_policy=self.updates.receive,
                on_state=self._on_link,
            )
            closing.callback(self.link.stop, 0.0)
            self._closing = closing.pop_all()

    def start(self) -> None:
        """Connect."""
        self.report()
        self.link.start()

    async def step(self, answers: int) -> None:
        """Follow the policy, compare so many answers where a drift guard is in force, report what is new."""
        decision = self._control.decision
        if decision is None or decision.wanted != self._worker.point or self._worker.point in self.drift.demotions:
            await self._control.step()
        policy = self.updates.state.running.policy
        if answers and policy.drift_guard is not None and not self.updates.state.on_trial:
            self._compare(answers, worse=policy.name.startswith(WORSE))
        self.report()

    def _compare(self, answers: int, *, worse: bool) -> None:
        ladder = self._shared.bundle.ladder
        test = DriftTest.of(ladder.points[ladder.rung(self._worker.point)])
        if test is None or test.bound <= 0.0:
            return
        share = test.bound + WORSE_BY * worse
        disagreed = sum(self._random.random() < share for _ in range(answers))
        count = ShadowCount(self._worker.point, answers, disagreed)
        self._control.note_served(Served(0, 1.0, answers, 0, answers, 1.0, 1.0, 0.0, 0, shadow=(count,)))

    def report(self) -> None:
        """Retain what it runs, where that is news."""
        updates = self.updates.state
        now = (updates, self.drift.demotions, self.drift.compared, self._worker.point)
        if now != self._last:
            self._last = now
            self.link.report(as_reported(self._state(), Snapshot(0.0)).to_document())

    def put_window(self) -> None:
        """Spool a telemetry window."""
        state = self._state()
        self.spool.put(self._device.topics.telemetry, as_telemetry(state, 60.0, None).to_document(), state.at)
        self.link.wake()

    def forget(self) -> None:
        """Put demoted points back, as an operator does before the next try."""
        self.drift.forget(None)

    def _state(self) -> AgentState:
        bundle, updates = self._shared.bundle, self.updates
        ladder = bundle.ladder
        return AgentState(
            at=time.time(),
            uptime_s=time.monotonic() - self._began_s,
            version=__version__,
            device=self._device.id,
            groups=self._device.groups,
            model=bundle.model,
            bundle=bundle.sha256,
            ladder=ladder,
            engine="none",
            point=ladder.points[ladder.rung(self._worker.point)],
            refused={},
            worker=WorkerState.SERVING,
            worker_pid=None,
            worker_restarts=0,
            switches=self._control.switches,
            updates=updates.state,
            trusted_keys=self._keys.trusted,
            key_rotation=None,
            allow_unsigned=False,
            decision=self._control.decision,
            snapshot=Snapshot(0.0),
            served=None,
            broker=str(self._shared.broker),
            link=self.link.counters.state,
            spool=None,
            demotions=tuple(self.drift.demotions.values()),
            troubles=(),
            recent=(),
            compared=self.drift.compared,
        )

    def _on_link(self, state: LinkState) -> None:
        if state.state == "online":
            self.online_at_s.append(time.monotonic())

    def _emit(self, event: Event) -> None:
        """Events are not sent: no figure here is about them."""

    def __enter__(self) -> "LightAgent":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
