"""The control loop's step: snapshot, decide, switch the worker, record why."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from tidegate.messages import REASON_LIMIT, AdmissionState, Served, Switched
from tidegate.models.ladder import Ladder
from tidegate.policy.brown_out import Guard, put_off
from tidegate.policy.choice import allowed
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState, Decision
from tidegate.policy.explain import Circumstances, Explanation, explain
from tidegate.policy.hold import held
from tidegate.policy.learned import GENERIC, Learned, Prior
from tidegate.policy.policy import NO_LIMIT, NoFit, Policy
from tidegate.policy.readings import LATENCY, REQUEST_RATE, UNITS
from tidegate.policy.sleep import Sleeping
from tidegate.policy.what_if import WhatIf, what_if
from tidegate.shortened import shortened
from tidegate.supervisor.control.drift_record import Demotion, DriftRecord
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.supervisor.worker.rest import Rest
from tidegate_drivers.reading import POWER_SOURCE, TEMPERATURE, Provenance, Reading, Snapshot, Value

LOOK_AGAIN_S = 600.0
"""When a client should ask again of one that sleeps until something else than a time of day comes."""
QUARANTINE_S = 60.0
"""How long a point that failed its canaries is left alone; the next failure doubles it."""


class SwitchableWorker(Protocol):
    """What the control loop needs of a worker."""

    @property
    def point(self) -> str:
        """The operating point that the worker is at."""

    @property
    def refused(self) -> Mapping[str, str]:
        """The points that its engine can't run, by name, each with the reason."""

    @property
    def held_point(self) -> str | None:
        """The only point that may be used for now, as workers have kept ending; None for all."""

    async def switch(self, point: str) -> Switched:
        """Move to another point. Raises WorkerDown."""

    def set_admission(self, state: AdmissionState) -> None:
        """Say what to let in, and whether the policy is satisfied."""

    async def sleep(self, rest: Rest) -> None:
        """Have no worker until `wake`."""

    def wake(self) -> None:
        """Have a worker again."""


class Sensors(Protocol):
    """What the control loop needs of the drivers."""

    def snapshot(self) -> Snapshot:
        """The device's readings as they are now; never waits for a sensor."""


class Control:
    """Holds the policy in force and the state between decisions; only `step` moves the worker.

    `held_at` is the point that somebody holds, None while the policy alone decides.
    """

    def __init__(
        self,
        *,
        ladder: Ladder,
        policy: Policy,
        worker: SwitchableWorker,
        sensors: Sensors,
        drift: DriftRecord,
        inputs: Callable[[], Mapping[str, Reading]] = dict,
        emit: Callable[[Event], None],
        prior: Prior = GENERIC,
        guard: Guard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self.decision: Decision | None = None
        self.on_request: Callable[[], None] = lambda: None
        """Called when a request has ended a sleep, so that the next decision is made soon."""
        self.switches = 0
        self.held_at: str | None = None
        self.shadow_all = False
        """Whether each answer is held against the full model's, whatever the policy spends on that."""
        self.spares_demoted = False
        """Whether points that break their certificate stay on the ladder: of a bundle that is about to go."""
        self._ladder = ladder
        self._worker = worker
        self._sensors = sensors
        self._drift = drift
        self._inputs = inputs
        self._emit = emit
        self._clock = clock
        guard = replace(guard or Guard(), order=ladder.names)
        self._state = ControlState(worker.point, learned=Learned.from_prior(prior), guard=guard)
        self._serving: Mapping[str, Reading] = {}
        self._stepping = asyncio.Lock()
        self._quarantine: dict[str, tuple[float, int]] = {}
        drift.under(policy.version)

    async def adopt(self, policy: Policy) -> None:
        """Decide by another policy from the next step on; conditions start afresh, dwell goes on."""
        async with self._stepping:
            self._adopt(policy)

    async def attempt(self, policy: Policy) -> bool:
        """Adopt a policy and decide by it at once; False, and as before, when the worker did not follow."""
        async with self._stepping:
            before = self.policy, self._state
            self._adopt(policy)
            followed = await self._step()
            if not followed:
                self.policy, self._state = before
                self._drift.under(self.policy.version)
            return followed

    def _adopt(self, policy: Policy) -> None:
        self.policy = policy
        self._drift.under(policy.version)
        self._state = replace(
            self._state, holding=frozenset(), since={}, flapping=None, sleeping=None, woken=frozenset()
        )

    def hold(self, point: str | None) -> str:
        """Stay at a point from the next step on, as policy/hold.py does; None ends that. Says why not, if so."""
        names = self.may_hold
        if point is not None and point not in names:
            return f"{point[:80]!r} can't be held: allowed are {', '.join(names)}"
        if point != self.held_at:
            self.held_at = point
            told = "the policy decides again" if point is None else f"held at {point}, until that is ended"
            self._emit(Event(EventKind.POLICY, told, {"held_at": point}))
        return ""

    @property
    def point(self) -> str:
        """The operating point that the worker is at."""
        return self._worker.point

    @property
    def may_hold(self) -> tuple[str, ...]:
        """The points that may be held: those that the policy in force may use."""
        return tuple(point.name for point in allowed(self.runnable, self.policy.max_accuracy_loss))

    @property
    def _followed(self) -> Policy:
        """What is decided by: the policy, or it while a point is held."""
        return self.policy if self.held_at is None else held(self.policy, self.held_at)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Decide and switch nothing meanwhile."""
        async with self._stepping:
            yield

    def take_ladder(self, ladder: Ladder, drift: DriftRecord) -> None:
        """Decide over another bundle's ladder from the next step on; call it while `paused`."""
        self._ladder, self._drift = ladder, drift
        drift.under(self.policy.version)
        self.shadow_all = self.spares_demoted = False
        self._quarantine.clear()
        # What was lost at another bundle's points says nothing of these.
        guard = replace(self.guard, losses={}, order=ladder.names)
        state = replace(self._state, point=self._worker.point, holding=frozenset(), since={}, flapping=None)
        self._state = replace(state, guard=guard)

    def take_certificates(self, ladder: Ladder, drift: DriftRecord) -> None:
        """Decide over the same points with other certificates from the next step on; call it while `paused`."""
        self._ladder, self._drift = ladder, drift
        drift.under(self.policy.version)

    @property
    def guard(self) -> Guard:
        """That against brown-outs, as of the last step."""
        return self._state.guard or Guard()

    @property
    def waiting(self) -> bool:
        """Whether a switch waits, for a dwell to end or for the worker: time alone may bring it any moment."""
        decision = self.decision
        return decision is not None and not decision.asleep and decision.wanted != self._worker.point

    @property
    def sleeping(self) -> Sleeping | None:
        """The sleep that the policy has it in; None while it is awake."""
        return self._state.sleeping

    def asked(self) -> None:
        """A request has come: it ends a sleep that requests end, with the next decision."""
        if self._state.sleeping is not None:
            self._state = replace(self._state, sleeping=replace(self._state.sleeping, asked=True))
            self.on_request()

    @property
    def put_off(self) -> str | None:
        """Which points are put off or not climbed to yet, and why, in words; None while none is.

        Whatever else keeps a point from being used: the supply is no better for that.
        """
        reasons: dict[str, list[str]] = {}
        for name, reason in put_off(self.guard, allowed(self._ladder, self.policy.max_accuracy_loss)).items():
            reasons.setdefault(reason, []).append(name)
        return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items()) or None

    def _put_off(self) -> Mapping[str, str]:
        return put_off(self.guard, allowed(self._usable(), self.policy.max_accuracy_loss))

    def note_served(self, served: Served) -> None:
        """Take the worker's last window as readings: how much was asked, and how long an answer took."""
        for count in served.shadow:
            self._drift.note(count)
        for text in served.dropped:
            self._emit(Event(EventKind.FAULT, text))
        at, max_age_s = self._clock(), 3 * max(1.0, served.window_s)
        values = {LATENCY: served.latency_p95_ms, REQUEST_RATE: served.asked_hz}
        self._serving = {
            name: Reading(value, UNITS[name], at, Provenance.MEASURED, "worker", max_age_s)
            for name, value in values.items()
            if value is not None
        }

    def explanation(self, obstacles: Mapping[str, str]) -> Explanation:
        """What the next step would decide, and what would change it; `obstacles` are why settings are not made."""
        before = replace(self._state, point=self._worker.point)
        now = datetime.now().astimezone()
        device = Circumstances(obstacles, self._left_out())
        return explain(self.snapshot(), self._followed, self._usable(), before, now, device)

    def what_if(self, values: Mapping[str, Value]) -> WhatIf:
        """What would be decided with these readings; changes nothing."""
        before = replace(self._state, point=self._worker.point)
        now = datetime.now().astimezone()
        return what_if(values, self.snapshot(), self._followed, self._usable(), before, now)

    def snapshot(self) -> Snapshot:
        """All readings: of the device, of serving, and from outside."""
        snapshot = self._sensors.snapshot()
        return Snapshot(snapshot.at, {**snapshot.readings, **self._serving, **self._inputs()})

    async def step(self) -> bool:
        """Decide once and act on it; False when the worker did not follow the decision."""
        async with self._stepping:
            return await self._step()

    async def _step(self) -> bool:
        if self.held_at not in {None, *self.may_hold}:
            self.hold(None)  # another policy or bundle, which may not use it
        before = replace(self._state, point=self._worker.point)
        now = datetime.now().astimezone()
        snapshot = self.snapshot()
        decision = _brief(decide(snapshot, self._followed, self._usable(), before, now))
        self._announce(decision)
        self.decision = decision
        self._worker.set_admission(_admission_state(decision, self.policy, snapshot, self.shadow_all))
        if (sleeping := decision.state.sleeping) is not None:
            self._state = decision.state
            await self._worker.sleep(self._rest(sleeping, now))
            return True
        self._worker.wake()
        if not decision.changes(before):
            self._state = decision.state
            return True
        followed = await self._switch(decision, before)
        # What did not happen must not start a dwell; conditions that entered stay entered.
        self._state = (
            decision.state
            if followed
            else replace(decision.state, point=before.point, switched_at=before.switched_at)
        )
        return followed

    def _rest(self, sleeping: Sleeping, now: datetime) -> Rest:
        until_s = LOOK_AGAIN_S if sleeping.wake_at is None else (sleeping.wake_at - now).total_seconds()
        on_request = self.asked if sleeping.wake.request else None
        by = f"rule '{sleeping.rule}'" if sleeping.rule else "goals"
        return Rest(f"{by}: {sleeping.in_words()}", until_s, on_request)

    async def _switch(self, decision: Decision, before: ControlState) -> bool:
        try:
            switched = await self._worker.switch(decision.point)
        except WorkerDown:
            return False  # the worker's end is reported; the next step decides again
        if not switched.ok:
            self._isolate(decision.point)
            text = f"stays at {switched.point}: {switched.reason}"
            self._emit(Event(EventKind.ROLLBACK, text, _particulars(before.point, decision, switched)))
            return False
        self.switches += 1
        self._quarantine.pop(decision.point, None)
        text = f"{before.point} → {decision.point}: {decision.reason}"
        self._emit(Event(EventKind.SWITCH, text, _particulars(before.point, decision, switched)))
        return True

    def _announce(self, decision: Decision) -> None:
        """Emit a decision when it says something new, not at every step."""
        last = self.decision
        flapping = decision.flapping if last is None or last.flapping != decision.flapping else ""
        if flapping:
            self._emit(Event(EventKind.FAULT, flapping, {"rule": decision.rule, "point": decision.point}))
        if last is None or _news(last) != _news(decision):
            text = f"{'sleeps' if decision.asleep else f'wants {decision.wanted}'}: {decision.reason}"
            details: dict[str, object] = {
                "rule": decision.rule,
                "wanted": decision.wanted,
                "point": decision.point,
                "urgent": decision.urgent,
                "fits": decision.fits,
                "held_back": list(decision.held_back),
                "controls": dict(decision.controls),
            }
            self._emit(Event(EventKind.DECISION, text, details))

    @property
    def ladder(self) -> Ladder:
        """All points of the bundle in force."""
        return self._ladder

    @property
    def runnable(self) -> Ladder:
        """The ladder without points that the engine refuses: what a policy may name here."""
        return Ladder(tuple(point for point in self._ladder.points if point.name not in self._worker.refused))

    def _usable(self) -> Ladder:
        """The ladder without points that the engine refuses, those in quarantine and drifted ones.

        The full one always stays. So does the point in force unless it has drifted. While workers keep ending,
        there is the one that the worker is held at and no other.
        """
        held = self._worker.held_point
        if held is not None:
            return Ladder((self._ladder.points[self._ladder.rung(held)],))
        now = self._clock()
        kept = tuple(
            point
            for rung, point in enumerate(self._ladder.points)
            if rung == 0
            or (
                point.name not in self._demotions
                and point.name not in self._worker.refused
                and (point.name == self._worker.point or self._quarantine.get(point.name, (now, 0))[0] <= now)
            )
        )
        return Ladder(kept)

    @property
    def _demotions(self) -> Mapping[str, Demotion]:
        return {} if self.spares_demoted else self._drift.demotions

    def _left_out(self) -> dict[str, str]:
        """The points that are not usable now, each with the reason."""
        usable, now = {point.name for point in self._usable().points}, self._clock()
        left_out = {}
        for name in (point.name for point in self._ladder.points if point.name not in usable):
            if name in self._worker.refused:
                left_out[name] = self._worker.refused[name]
            elif self._worker.held_point is not None:
                left_out[name] = f"workers have kept ending; {self._worker.held_point} alone is used for a while"
            elif name in self._demotions:
                left_out[name] = f"it {self._demotions[name].because}"
            else:
                rest_s = self._quarantine[name][0] - now
                left_out[name] = f"it failed its canaries and is left alone for another {rest_s:.0f} s"
        return {**self._put_off(), **left_out}

    def _isolate(self, point: str) -> None:
        _, failures = self._quarantine.get(point, (0.0, 0))
        self._quarantine[point] = (self._clock() + QUARANTINE_S * 2**failures, failures + 1)


def _news(decision: Decision) -> tuple[object, ...]:
    """What of a decision is worth an event when it changes."""
    return decision.rule, decision.wanted, decision.fits, decision.asleep


def _brief(decision: Decision) -> Decision:
    """The decision with its reasons cut: a long policy makes long ones, and they are told everywhere."""
    held_back = tuple(shortened(each, REASON_LIMIT) for each in decision.held_back)
    return replace(decision, reason=shortened(decision.reason, REASON_LIMIT), held_back=held_back)


def _admission_state(decision: Decision, policy: Policy, snapshot: Snapshot, shadow_all: bool) -> AdmissionState:
    refuse = decision.paused or (not decision.fits and policy.no_fit is NoFit.REFUSE)
    plain = decision.fits and not refuse and decision.limit == NO_LIMIT
    return AdmissionState(
        fits=decision.fits,
        refuse=refuse,
        reason="" if plain else decision.reason,
        rate_hz=decision.limit.rate_hz,
        concurrency=decision.limit.concurrency,
        shadow_share=1.0 if shadow_all else _shadow_share(policy, snapshot),
    )


def _shadow_share(policy: Policy, snapshot: Snapshot) -> float:
    """The drift guard's share while the device can spare it: on external power, or known to be cool."""
    if policy.drift_guard is None:
        return 0.0
    celsius = snapshot.number(TEMPERATURE)
    cool = celsius is not None and celsius < policy.drift_guard.below_c
    return policy.drift_guard.share if cool or snapshot.word(POWER_SOURCE) == "external" else 0.0


def _particulars(before: str, decision: Decision, switched: Switched) -> dict[str, object]:
    return {
        "from": before,
        "to": decision.point,
        "rule": decision.rule,
        "reason": decision.reason,
        "urgent": decision.urgent,
        "prepare_ms": round(switched.prepare_ms, 3),
        "switch_ms": round(switched.switch_ms, 3),
        "canary_agreement": switched.canary_agreement,
    }
