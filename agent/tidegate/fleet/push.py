"""Pushing a policy, keys, a bundle or a certificate, and waiting for what devices make of it."""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.fleet.asking_again import AskingAgain
from tidegate.fleet.bundle_content import BundleContent
from tidegate.fleet.chunk_server import ChunkServer
from tidegate.fleet.listener import Listener
from tidegate.models.bundle import statement
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.payloads import bundle_envelope, keys_envelope
from tidegate.telemetry.payloads.device_status import parse_device_status
from tidegate.telemetry.payloads.envelope import EnvelopeError, Target, policy_in
from tidegate.telemetry.payloads.reported import PolicyState, Reported, ReportedError, parse_reported
from tidegate.telemetry.topics import ROOT, DeviceTopics
from tidegate.trust.dsse import Envelope

_ANSWER_S = 10.0
# Behind what thousands of devices had retained and say meanwhile.
_ANSWER_AMONG_MANY_S = 60.0
# How long a group is waited for of which nobody was ever seen.
_NOBODY_S = 5.0
_TELL_EVERY_S = 10.0
_MOST_TOLD = 3


class PushError(TidegateError):
    """The broker refused the policy, or did not say that it has it."""

    exit_code = EX_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of a push to one device.

    `no_answer`: the broker has it retained, and the device will get it, but it said nothing final in time;
    `reason` then holds what is known of it.
    """

    outcome: Literal["accepted", "rolled_back", "refused", "no_answer"]
    reason: str
    version: int
    hash: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class GroupPushResult:
    """What became of a push to many devices: each by name, with its reason where it did not take the policy."""

    accepted: tuple[str, ...]
    refused: Mapping[str, str]
    silent: Mapping[str, str]
    version: int
    hash: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class _Pushed:
    """What is pushed, a policy, trusted keys, a bundle or a certificate, as verdicts name it, and where to."""

    version: int
    hash: str
    push_id: str
    target: Target
    topic: str

    @classmethod
    def of(cls, envelope: Envelope) -> "_Pushed":
        """Raises EnvelopeError for what no device would open."""
        if envelope.payload_type == statement.PAYLOAD_TYPE:
            return cls._of_certificate(envelope)
        if envelope.payload_type == keys_envelope.PAYLOAD_TYPE:
            keys = keys_envelope.keys_in(envelope)
            return cls(keys.version, keys.hash, keys.push_id, keys.target, keys.target.keys_topic)
        if envelope.payload_type == bundle_envelope.PAYLOAD_TYPE:
            bundle = bundle_envelope.bundle_in(envelope)
            return cls(bundle.version, bundle.hash, bundle.push_id, bundle.target, bundle.topic)
        policy = policy_in(envelope)
        return cls(policy.version, policy.hash, policy.push_id, policy.target, policy.target.topic)

    @classmethod
    def _of_certificate(cls, envelope: Envelope) -> "_Pushed":
        told = statement.read_statement(envelope.payload, "the certificate")
        if told.device is None:
            raise EnvelopeError(
                "the certificate names no device, and none takes it so; `bundle certify --device ID` names one"
            )
        digest, target = hashlib.sha256(envelope.payload).hexdigest(), Target("device", told.device)
        topic = DeviceTopics(told.device).certificate
        return cls(int(told.counted_at.timestamp()), digest, envelope.push_id, target, topic)


def push(
    broker: Broker,
    envelope: Envelope,
    wait_s: float = 30.0,
    content: BundleContent | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> PushResult:
    """Retain what the envelope holds as that of a device, and wait up to `wait_s` for its verdict.

    Meanwhile the device gets the chunks of `content` that it asks for, and `tell` hears how far it is.

    Raises EnvelopeError for an envelope that no device would open, BrokerError or PushError if the broker is not
    reached or does not take it, ValueError for a target that is not one device.
    """
    envelope = _pushed_anew(envelope)
    pushed = _Pushed.of(envelope)
    if pushed.target.kind != "device" or pushed.target.name is None:
        raise ValueError("for many devices there is push_to_many")
    topics = DeviceTopics(pushed.target.name)
    filters = (topics.reported, topics.status, topics.chunks_wanted)
    pusher = _Pusher(broker, pushed, filters, lambda _: True, content)
    try:
        waited_s = pusher.push(envelope, wait_s, tell)
        answer = pusher.answers.get(pushed.target.name, _DeviceAnswer())
        verdict = answer.verdict
        if verdict is not None and verdict.state != "trial":
            return PushResult(verdict.state, verdict.reason, pushed.version, pushed.hash, waited_s)
        return PushResult("no_answer", answer.progress, pushed.version, pushed.hash, waited_s)
    finally:
        pusher.close()


def push_to_many(
    broker: Broker,
    envelope: Envelope,
    wait_s: float = 30.0,
    content: BundleContent | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> GroupPushResult:
    """Retain what the envelope holds as that of a group or the fleet, and wait up to `wait_s` for verdicts.

    Who belongs to it is what devices report; those that are offline are not waited for. Raises as `push`.
    """
    filters = (f"{ROOT}/+/status", f"{ROOT}/+/bundle/wanted", f"{ROOT}/+/reported")
    envelope = _pushed_anew(envelope)
    pushed = _Pushed.of(envelope)
    pusher = _Pusher(broker, pushed, filters, _belongs_to(pushed.target), content)
    try:
        waited_s = pusher.push(envelope, wait_s, tell)
        accepted: list[str] = []
        refused: dict[str, str] = {}
        silent: dict[str, str] = {}
        for name, answer in sorted(pusher.members.items()):
            verdict = answer.verdict
            if verdict is None or verdict.state == "trial":
                silent[name] = answer.progress
            elif verdict.state == "accepted":
                accepted.append(name)
            else:
                refused[name] = verdict.reason
        return GroupPushResult(tuple(accepted), refused, silent, pushed.version, pushed.hash, waited_s)
    finally:
        pusher.close()


def _pushed_anew(envelope: Envelope) -> Envelope:
    """With an id of its own: a verdict on an earlier push of the same envelope is no answer to this one."""
    return replace(envelope, push_id=uuid.uuid4().hex)


def _belongs_to(target: Target) -> Callable[[Reported], bool]:
    return lambda reported: target.kind == "fleet" or target.name in reported.groups


@dataclass(slots=True)
class _DeviceAnswer:
    """What one device has said: its verdict on this push, and its status."""

    member: bool = False
    reported: bool = False
    status: str = ""
    verdict: PolicyState | None = None
    content: str = ""

    @property
    def final(self) -> bool:
        return self.verdict is not None and self.verdict.state != "trial"

    @property
    def awaited(self) -> bool:
        return self.member and "offline" not in self.status

    @property
    def progress(self) -> str:
        if self.verdict is not None:
            said = f"still trying it: {self.verdict.reason}".rstrip(": ")
            return f"{said}, {self.content}" if self.content else said
        return f"no verdict; its last status: {self.status}" if self.status else "has never been seen here"


class _Pusher:
    """One connection that publishes once and listens to devices; `belongs` tells from a report who counts."""

    def __init__(
        self,
        broker: Broker,
        pushed: _Pushed,
        filters: tuple[str, ...],
        belongs: Callable[[Reported], bool],
        content: BundleContent | None,
    ) -> None:
        self._broker = broker
        self._pushed = pushed
        self._belongs = belongs
        self._chunks = ChunkServer(pushed.hash, content)
        self._one_device = not any("+" in topic for topic in filters)
        self._refusal = ""
        self._told: list[str] = []
        self._answered: dict[int, ReasonCode] = {}
        self._changed = threading.Condition()
        self.answers: dict[str, _DeviceAnswer] = {}
        # Listening comes before publishing: a fast answer counts too.
        self._listener = Listener(broker, "push", filters, self._on_message)
        self._listener.client.on_publish = self._on_publish

    @property
    def members(self) -> dict[str, _DeviceAnswer]:
        """The devices that count."""
        with self._changed:
            return {name: answer for name, answer in self.answers.items() if answer.member}

    def push(self, envelope: Envelope, wait_s: float, tell: Callable[[str], None]) -> float:
        """Connect, publish retained, and wait for verdicts; the seconds that these took.

        Raises BrokerError, PushError.
        """
        self._listener.start()
        if not self._one_device:
            # Who is there is known from what is retained.
            self._listener.wait_for_retained()
            with self._changed:
                unreported = [name for name, answer in self.answers.items() if not answer.reported]
            self._listener.read_reports(unreported)
        self._publish(self._pushed.topic, envelope.to_json())
        started = time.monotonic()
        self._wait(started, wait_s, tell)
        return time.monotonic() - started

    def close(self) -> None:
        """Disconnect."""
        self._listener.stop()

    def _publish(self, topic: str, envelope: bytes) -> None:
        mid = self._listener.client.publish(topic, envelope, qos=1, retain=True).mid
        with self._changed:
            patience_s = _ANSWER_S if self._one_device else _ANSWER_AMONG_MANY_S
            if not self._changed.wait_for(lambda: mid in self._answered, patience_s):
                raise PushError(
                    f"{self._broker}: no PUBACK within {patience_s:.0f} s; whether the broker has it is unknown"
                )
            reason = self._answered[mid]
        if reason.is_failure:
            raise PushError(f"{self._broker}: refused by the broker: {reason}; check its access list and limits")

    def _wait(self, started: float, wait_s: float, tell: Callable[[str], None]) -> None:
        deadline, told_at, asking = started + wait_s, started, AskingAgain()
        while (left_s := deadline - time.monotonic()) > 0:
            with self._changed:
                if self._settled(time.monotonic() - started):
                    return
                self._changed.wait(min(left_s, 0.25))
            if not self._one_device:
                self._ask_again(asking)
            if time.monotonic() - told_at >= _TELL_EVERY_S:
                told_at = time.monotonic()
                self._tell(tell)

    def _tell(self, tell: Callable[[str], None]) -> None:
        """Say what the first of those waited for do, and how many others there are; nothing twice running."""
        waited_for = {name: each.progress for name, each in sorted(self.members.items()) if not each.final}
        lines = [f"{name}: {progress}" for name, progress in list(waited_for.items())[:_MOST_TOLD]]
        if len(waited_for) > _MOST_TOLD:
            lines.append(f"and {len(waited_for) - _MOST_TOLD} more")
        if self._refusal:
            lines.append(self._refusal)
        for line in lines:
            if line not in self._told:
                tell(line)
        self._told = lines

    def _ask_again(self, asking: AskingAgain) -> None:
        with self._changed:
            silent = [name for name, answer in self.answers.items() if answer.awaited and not answer.final]
            final = sum(answer.final for answer in self.answers.values())
        if asking.due(final, time.monotonic()):
            self._listener.read_reports(silent)

    def _settled(self, waited_s: float) -> bool:
        """Whether nothing more is to be expected."""
        awaited = [answer for answer in self.answers.values() if answer.awaited]
        if not awaited:
            # A device that was never seen may still come; of many that are all offline none will.
            return waited_s > _NOBODY_S and not self._one_device
        return all(answer.final for answer in awaited)

    def _on_publish(
        self, _client: mqtt.Client, _data: object, mid: int, reason: ReasonCode, _: Properties | None
    ) -> None:
        with self._changed:
            self._answered[mid] = reason
            if reason.is_failure:
                self._refusal = f"{self._broker}: refuses messages: {reason}; check its access list and limits"
            self._changed.notify_all()

    def _on_message(self, message: mqtt.MQTTMessage) -> None:
        _, name, kind = message.topic.split("/", 2)
        with self._changed:
            answer = self.answers.setdefault(name, _DeviceAnswer())
            if kind == "status":
                answer.status = _state_in(bytes(message.payload))
            elif kind == "bundle/wanted":
                self._chunks.answer(self._listener.client, name, bytes(message.payload))
                answer.content = self._chunks.progress(name)
            else:
                self._note(answer, bytes(message.payload))
            self._changed.notify_all()

    def _note(self, answer: _DeviceAnswer, payload: bytes) -> None:
        try:
            reported = parse_reported(payload)
        except ReportedError:
            return
        # A policy in force may be pushed again by somebody whose push is refused.
        policies = (reported.refused, reported.policy)
        bundles = (reported.bundle_refused, reported.bundle_push)
        verdicts = (*policies, reported.key_rotation, *bundles, reported.certificate_push)
        verdict = next((each for each in verdicts if each is not None and _answers(each, self._pushed)), None)
        answer.reported = True
        answer.member = answer.member or self._belongs(reported) or verdict is not None
        answer.verdict = answer.verdict if verdict is None else verdict


def _answers(verdict: PolicyState, pushed: _Pushed) -> bool:
    """Whether a verdict is on this push."""
    return (verdict.version, verdict.hash, verdict.push_id) == (pushed.version, pushed.hash, pushed.push_id)


def _state_in(payload: bytes) -> str:
    """The state in a device's status, or the status as it is when it is none of ours."""
    status = parse_device_status(payload)
    return payload[:80].decode(errors="replace") if status is None else status.state
