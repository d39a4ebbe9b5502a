"""Pushing a policy, and waiting for what the device makes of it."""

import threading
import time
import uuid
from dataclasses import dataclass
from typing import Literal

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.fleet.subscription import Subscription
from agent.telemetry.broker import Broker
from agent.telemetry.envelope import Target, policy_hash, seal_unsigned
from agent.telemetry.paho_client import make_client
from agent.telemetry.reported import PolicyState, Reported, ReportedError, parse_reported
from agent.telemetry.topics import DeviceTopics

_ANSWER_S = 10.0


class PushError(Exception):
    """The policy did not reach the broker; nothing was changed."""


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of a push. `published`: the broker has it, and no single device was waited for.

    `no_answer`: the broker has it retained, and the device will get it, but it said nothing final in time;
    `reason` then holds what is known of it.
    """

    outcome: Literal["accepted", "rolled_back", "refused", "published", "no_answer"]
    reason: str
    version: int
    hash: str
    waited_s: float


def push(
    broker: Broker,
    target: Target,
    policy: str,
    version: int,
    wait_s: float = 30.0,
) -> PushResult:
    """Retain `policy` as the desired one of `target`, and wait up to `wait_s` for a device's verdict.

    Raises EnvelopeError for a policy or version that no device would open, PushError if the broker does not
    take it.
    """
    envelope = seal_unsigned(policy, version, target)
    with_answer = DeviceTopics(target.name) if target.kind == "device" and target.name is not None else None
    pusher = _Pusher(broker, version, policy_hash(policy), with_answer)
    try:
        pusher.connect()
        pusher.publish(target.topic, envelope)
        started = time.monotonic()
        if with_answer is None:
            return pusher.result("published", f"retained on {target.topic}", 0.0)
        verdict = pusher.wait(wait_s)
        waited_s = time.monotonic() - started
        if verdict is not None and verdict.state != "trial":
            return pusher.result(verdict.state, verdict.reason, waited_s)
        return pusher.result("no_answer", pusher.known(), waited_s)
    finally:
        pusher.close()


class _Pusher:
    """One connection that publishes once and listens to one device."""

    def __init__(self, broker: Broker, version: int, digest: str, device: DeviceTopics | None) -> None:
        self._broker = broker
        self._version = version
        self._hash = digest
        self._device = device
        self._refusal = ""
        self._acknowledged = threading.Event()
        self._changed = threading.Condition()
        self._verdict: PolicyState | None = None
        self._status = ""
        self._client = make_client(broker, f"tidegate-push-{uuid.uuid4().hex}")
        # Listening comes before publishing: a fast answer counts too.
        topics = () if device is None else (device.reported, device.status)
        self._subscription = Subscription(self._client, topics)
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish

    def connect(self) -> None:
        """Connect and, for a device, listen to it."""
        try:
            self._client.connect(self._broker.host, self._broker.port)
        except (OSError, ValueError) as error:
            raise PushError(f"{self._broker}: {error}") from error
        self._client.loop_start()
        if problem := self._subscription.problem(_ANSWER_S):
            raise PushError(f"{self._broker}: {problem}")

    def publish(self, topic: str, envelope: bytes) -> None:
        """Publish retained and wait for the PUBACK."""
        self._client.publish(topic, envelope, qos=1, retain=True)
        if not self._acknowledged.wait(_ANSWER_S):
            raise PushError(
                f"{self._broker}: no PUBACK within {_ANSWER_S:.0f} s; whether it has the policy is not known"
            )
        if self._refusal:
            raise PushError(f"{self._broker}: {self._refusal}")

    def wait(self, wait_s: float) -> PolicyState | None:
        """The last verdict on this version and hash, as soon as it is final or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._verdict is not None and self._verdict.state != "trial", wait_s)
            return self._verdict

    def known(self) -> str:
        """What the device was last heard to say."""
        if self._verdict is not None:
            return f"the device is still trying it: {self._verdict.reason}".rstrip(": ")
        return (
            f"the device's last status: {self._status}" if self._status else "the device has never been seen here"
        )

    def result(
        self,
        outcome: Literal["accepted", "rolled_back", "refused", "published", "no_answer"],
        reason: str,
        waited_s: float,
    ) -> PushResult:
        """The result for this version and hash."""
        return PushResult(outcome, reason, self._version, self._hash, waited_s)

    def close(self) -> None:
        """Disconnect first: paho's `loop_stop` waits for what is unacknowledged otherwise."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_publish(
        self, _client: mqtt.Client, _data: object, _mid: int, reason: ReasonCode, _: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refusal = f"policy refused by the broker: {reason}"
        self._acknowledged.set()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if self._device is not None and message.topic == self._device.status:
            self._status = bytes(message.payload).decode(errors="replace")
            return
        try:
            reported = parse_reported(bytes(message.payload))
        except ReportedError:
            return
        verdict = self._verdict_on_this(reported, retained=message.retain)
        if verdict is not None:
            with self._changed:
                self._verdict = verdict
                self._changed.notify_all()

    def _verdict_on_this(self, reported: Reported, *, retained: bool) -> PolicyState | None:
        for verdict in (reported.policy, reported.refused):
            if verdict is not None and (verdict.version, verdict.hash) == (self._version, self._hash):
                # A retained refusal is of an earlier push of the same text; this one has its own answer to come.
                return verdict if verdict.state == "accepted" or not retained else None
        return None
