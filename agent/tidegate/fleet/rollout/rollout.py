"""Pushes in stages over one connection, looks how devices fare, and goes on, halts, or leads back."""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import paho.mqtt.client as mqtt

from tidegate.errors import EX_TEMPFAIL, EX_UNAVAILABLE, TidegateError
from tidegate.fleet.asking_again import AskingAgain
from tidegate.fleet.bundle_content import BundleContent
from tidegate.fleet.chunk_server import ChunkServer
from tidegate.fleet.listener import Listener
from tidegate.fleet.rollout.abort_rule import (
    Fared,
    MeasureLimit,
    Rule,
    findings,
    held_against_before,
    reason_to_halt,
    undecided,
    unknowns,
)
from tidegate.fleet.rollout.heard import Heard, Kind, RolledOut
from tidegate.fleet.rollout.rollout_state import RolloutState, RolloutStateError, opened, rollout_topic, sealed
from tidegate.fleet.rollout.stages import stages
from tidegate.quantities.counted import counted
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.payloads.envelope import Target
from tidegate.telemetry.topics import ROOT
from tidegate.trust.dsse import Envelope
from tidegate.trust.signer import Signer

MOST_HELD_AGAINST_BEFORE = 1000
"""Devices of whom the state keeps what they measured before: brokers bound the size of a message."""
# How long a broker may take to begin with what it has retained, before nobody is thought to be there.
_NOBODY_S = 10.0
_LOOK_EVERY_S = 0.25
_TELL_EVERY_S = 30.0
# A broker that is started anew has to be back by then.
_PUBACK_S = 60.0


class RolloutError(TidegateError):
    """The rollout can't begin or go on: nobody to push to, or the broker does not take it."""

    exit_code = EX_UNAVAILABLE


class RolloutElsewhereError(TidegateError):
    """Another desk is at it, or another rollout is under way for the same devices."""

    exit_code = EX_TEMPFAIL


@dataclass(frozen=True, slots=True)
class Pushable:
    """What is rolled out: its envelope for a target, and where it is retained for one."""

    what: str
    version: int
    hash: str
    envelope: Callable[[Target], Envelope]
    topic: Callable[[Target], str]
    content: BundleContent | None = None
    kind: Kind = "policy"


@dataclass(frozen=True, slots=True)
class Plan:
    """Shares of the devices for each stage, growing to 1; how long a stage may take and is watched, in seconds.

    A stage whose answers are compared, not enough of them for a verdict, is watched for `compare_s` at the most.
    `before_s` is how long canaries may take to say what they measured before, where the rule asks that. `instead`
    ends another rollout that is under way there.
    """

    shares: tuple[float, ...]
    rule: Rule
    answer_s: float
    soak_s: float
    compare_s: float = 0.0
    before_s: float = 0.0
    instead: bool = False


class Rollout:
    """One rollout to a group or the fleet; `tell` hears of each step in words. Raises BrokerError.

    `fared` is how its devices fared as of the last look, None before the first.
    """

    def __init__(
        self,
        broker: Broker,
        target: Target,
        pushable: Pushable,
        keys: Sequence[Signer],
        tell: Callable[[str], None],
    ) -> None:
        self.fared: Fared | None = None
        self._broker = broker
        self._target = target
        self._pushable = pushable
        self._keys = keys
        self._tell = tell
        self._desk = uuid.uuid4().hex
        self._heard = Heard(RolledOut(pushable.kind, pushable.version, pushable.hash), target)
        self._chunks = ChunkServer(pushable.hash, pushable.content)
        self._state_topic = rollout_topic(target)
        self._state_lock = threading.Lock()
        self._retained_state: bytes = b""
        self._elsewhere = ""
        self._connected_again = threading.Event()

    def run(self, plan: Plan) -> RolloutState:
        """Begin, or go on where it was; returns once it is done or halted. Raises RolloutError and its kind."""
        kinds = ["status", "bundle/wanted"]
        if any(isinstance(limit, MeasureLimit) for limit in plan.rule):
            kinds.append("telemetry")
        filters = [self._state_topic, *(f"{ROOT}/+/{kind}" for kind in (*kinds, "reported"))]
        self._listener = Listener(
            self._broker, "rollout", filters, self._hear, on_connected_again=self._connected_again.set
        )
        self._listener.start()
        try:
            self._listener.wait_for_retained(_NOBODY_S)
            self._listener.read_reports(self._heard.unreported())
            state = self._begin(plan)
            while not state.is_over:
                state = self._stage(plan, state)
                self._keep(state)
            return state
        finally:
            self._listener.stop()

    def took_it(self, state: RolloutState) -> tuple[str, ...]:
        """The devices that run what was rolled out."""
        return tuple(name for stage in state.stages for name in stage if self._heard.verdict(name) == "accepted")

    def _begin(self, plan: Plan) -> RolloutState:
        """The retained state of just this rollout, or a new one; this desk's in any case."""
        with self._state_lock:
            retained = self._retained_state
        if retained:
            known = opened(retained, [key.public for key in self._keys])
            if (known.version, known.hash) == (self._pushable.version, self._pushable.hash):
                self._tell(
                    f"{known.what}: {known.state}, {known.stage} of {len(known.stages)} stages are behind it"
                )
                if not known.is_over:
                    known = replace(known, desk=self._desk)
                    self._keep(known)
                return known
            if not known.is_over and not plan.instead:
                raise RolloutElsewhereError(
                    f"{known.what} is being rolled out there, {known.stage} of {len(known.stages)} stages are "
                    "behind it: go on with that one by saying its command again, or end it with --instead"
                )
        members = self._heard.members()
        if not members:
            raise RolloutError(
                f"{self._target.kind} {self._target.name or ''}: no device has been seen at {self._broker}"
            )
        salt = f"{self._pushable.hash}/{self._pushable.version}"
        chosen = stages(members, self._heard.online(), plan.shares, salt)
        self._wait_for_before(plan, chosen[0])
        what, version, digest = self._pushable.what, self._pushable.version, self._pushable.hash
        state = RolloutState(what, version, digest, chosen, self._heard.demoted(members), desk=self._desk)
        self._keep(state)
        return state

    def _wait_for_before(self, plan: Plan, canaries: Sequence[str]) -> None:
        """Listen until the canaries have said what a limit holds them against, for so long at the most."""
        measures = [measure.name for measure in held_against_before(plan.rule)]
        if not measures:
            return
        there = self._heard.online()
        awaited = [name for name in canaries if name in there]
        self._tell(f"listens for what {len(awaited)} canaries measure before, up to {plan.before_s:g} s")
        until = time.monotonic() + plan.before_s
        while time.monotonic() < until:
            known = self._heard.before(awaited)
            if all(measure in known.get(name, {}) for name in awaited for measure in measures):
                return
            time.sleep(_LOOK_EVERY_S)

    def _stage(self, plan: Plan, state: RolloutState) -> RolloutState:
        """Push to the devices of a stage and look how they fare; the state after it."""
        names, number = state.stages[state.stage], state.stage + 1
        state = self._with_before(plan, state, names)
        for name in names:
            self._push(name)
        self._tell(f"stage {number} of {len(state.stages)}: {counted(len(names), 'device')}")
        fared = self._watch(plan, state)
        everybody = [name for stage in state.stages[:number] for name in stage]
        reason = reason_to_halt(plan.rule, fared)
        took = [name for name in names if self._heard.verdict(name) == "accepted"]
        if reason is None and not any(self._heard.verdict(name) == "accepted" for name in everybody):
            reason = "none of the devices so far was there to try it"
        unknown = unknowns(plan.rule, fared)
        if reason is not None:
            self._withdraw(everybody)
            return replace(state, state="halted", reason=reason, unknown=unknown)
        self._tell(f"stage {number}: {len(took)} took it, {len(names) - len(took)} did not")
        for each in findings(plan.rule, fared):
            self._tell(f"stage {number}: {each}")
        for each in unknown:
            self._tell(f"stage {number}: not judged: {each}")
        state = replace(state, stage=number, unknown=unknown)
        if number < len(state.stages):
            return state
        # Whoever was away, or comes later, gets it from here.
        self._publish(self._pushable.topic(self._target), self._pushable.envelope(self._target).to_json())
        return replace(state, state="done")

    def _with_before(self, plan: Plan, state: RolloutState, names: Sequence[str]) -> RolloutState:
        measures = {measure.name for measure in held_against_before(plan.rule)}
        room = MOST_HELD_AGAINST_BEFORE - len(state.before)
        if not measures or room <= 0:
            return state
        fresh = [name for name in names if name not in state.before and self._heard.verdict(name) != "accepted"]
        known = self._heard.before(fresh[:room])
        kept = {
            name: {measure: value for measure, value in values.items() if measure in measures}
            for name, values in known.items()
        }
        state = replace(state, before={**state.before, **kept})
        self._keep(state)
        return state

    def _watch(self, plan: Plan, state: RolloutState) -> Fared:
        """Until all who are there have answered, then for the soak; ends early at the first limit."""
        begun = told_at = time.monotonic()
        answered_at: float | None = None
        everybody = [name for stage in state.stages[: state.stage + 1] for name in stage]
        names = frozenset(state.stages[state.stage])
        asking = AskingAgain()
        while True:
            self._stay(state, everybody)
            now = time.monotonic()
            progress = {name: self._chunks.progress(name) for name in self._chunks.wanted.copy()}
            fared = self._heard.fared(everybody, state.demoted_before, state.before, progress)
            silent = fared.counted.get("silent", {})
            if silent and asking.due(len(silent), now):
                self._listener.read_reports(silent)
            answered = not names & silent.keys() or now - begun >= plan.answer_s
            if answered_at is None and answered:
                answered_at = now
            if not answered:
                fared = replace(fared, counted={**fared.counted, "silent": {}})
            self.fared = fared
            if reason_to_halt(plan.rule, fared) is not None:
                return fared
            watched_s = -1.0 if answered_at is None else now - answered_at
            enough = watched_s >= plan.compare_s or not undecided(plan.rule, fared)
            if watched_s >= plan.soak_s and enough:
                return fared
            if now - told_at >= _TELL_EVERY_S:
                told_at = now
                for each in unknowns(plan.rule, fared):
                    self._tell(f"stage {state.stage + 1}, still open: {each}")
            time.sleep(_LOOK_EVERY_S)

    def _stay(self, state: RolloutState, names: Sequence[str]) -> None:
        """Give the broker again what it may have lost. Raises RolloutElsewhereError once another desk is at it."""
        with self._state_lock:
            if self._elsewhere:
                raise RolloutElsewhereError(self._elsewhere)
        if self._connected_again.is_set():
            self._connected_again.clear()
            self._keep(state)
            for name in names:
                if self._heard.verdict(name) not in {"accepted", "refused", "rolled_back"}:
                    self._push(name)

    def _withdraw(self, names: Sequence[str]) -> None:
        """Take it back from where devices that have not taken it would find it."""
        for name in names:
            if self._heard.verdict(name) != "accepted":
                self._publish(self._pushable.topic(Target("device", name)), b"")

    def _push(self, name: str) -> None:
        if self._heard.verdict(name) == "accepted":
            return
        target = Target("device", name)
        push_id = self._heard.push_id(name) or uuid.uuid4().hex
        self._heard.pushed(name, push_id)
        envelope = replace(self._pushable.envelope(target), push_id=push_id)
        self._publish(self._pushable.topic(target), envelope.to_json())

    def _keep(self, state: RolloutState) -> None:
        self._publish(self._state_topic, sealed(state, self._keys))

    def _publish(self, topic: str, payload: bytes) -> None:
        info = self._listener.client.publish(topic, payload, qos=1, retain=True)
        try:
            info.wait_for_publish(_PUBACK_S)
        except (RuntimeError, ValueError) as error:
            raise RolloutError(f"{self._broker}: {topic}: {error}") from None
        if not info.is_published():
            raise RolloutError(f"{self._broker}: no PUBACK for {topic}; say the same again to go on")

    def _hear(self, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        if message.topic == self._state_topic:
            self._hear_state(payload, retained=message.retain)
            return
        _, name, kind = message.topic.split("/", 2)
        if kind == "bundle/wanted":
            self._chunks.answer(self._listener.client, name, payload)
        else:
            self._heard.take(name, kind, payload, retained=message.retain)

    def _hear_state(self, payload: bytes, *, retained: bool) -> None:
        """A state that is retained is what was; one that comes now is of a desk that is at it."""
        with self._state_lock:
            if retained:
                self._retained_state = payload
                return
            try:
                state = opened(payload, [key.public for key in self._keys])
            except RolloutStateError:
                return  # anybody may publish there; only who has the key takes it over
            if state.desk and state.desk != self._desk:
                self._elsewhere = (
                    f"another desk has gone on with {state.what}, and this one has stopped; nothing is undone"
                )
