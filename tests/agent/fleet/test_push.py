"""The operator's push against a real broker and a device that answers."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.fleet.broker import LocalBroker
from agent.fleet.push import PushError, PushResult, push
from agent.telemetry.broker import Broker
from agent.telemetry.device import Device
from agent.telemetry.envelope import EnvelopeError, PolicyPush, Target, open_envelope, policy_hash
from agent.telemetry.link import Link
from agent.telemetry.reported import PolicyState, PolicyVerdict, Reported
from agent.telemetry.spool import Spool

pytestmark = pytest.mark.broker

POLICY = "tidegate: 1\nname: field-camera\n"
CAMERA = Target("device", "cam-1")


def verdict_on(pushed: PolicyPush, state: PolicyVerdict, reason: str = "") -> PolicyState:
    return PolicyState(pushed.version, pushed.hash, state, reason, "field-camera")


class AnsweringDevice:
    """A real link; `answer` says what the device reports for a policy."""

    def __init__(self, broker: Broker, spool: Spool) -> None:
        self.answer: Callable[[PolicyPush], list[Reported]] = lambda _: []
        self.received: list[PolicyPush] = []
        self.online = threading.Event()
        self.link = Link(
            broker,
            Device("cam-1", ("barn",), 1),
            spool,
            on_policy=self._on_policy,
            on_state=lambda state: self.online.set() if state.state == "online" else None,
        )

    def _on_policy(self, _topic: str, payload: bytes) -> None:
        pushed = open_envelope(payload)
        self.received.append(pushed)
        for reported in self.answer(pushed):
            self.link.report(reported.to_document())


@pytest.fixture
def device(broker: LocalBroker, tmp_path: Path) -> Iterator[AnsweringDevice]:
    device = AnsweringDevice(broker.address, Spool(tmp_path / "spool.db", 10**6, 3600.0))
    device.link.start()
    assert device.online.wait(20)
    yield device
    assert device.link.stop(0.5)


def accepted(result: PushResult) -> bool:
    return (result.outcome, result.version, result.hash) == ("accepted", 3, policy_hash(POLICY))


def test_accepted_after_a_trial(broker: LocalBroker, device: AnsweringDevice) -> None:
    device.answer = lambda pushed: [
        Reported("0.1.0", policy=verdict_on(pushed, "trial")),
        Reported("0.1.0", policy=verdict_on(pushed, "accepted")),
    ]
    assert accepted(push(broker.address, CAMERA, POLICY, 3, 20))
    assert accepted(push(broker.address, CAMERA, POLICY, 3, 20)), "pushing the same again is no error"
    assert device.received[0].policy == POLICY


def test_refused_beside_the_policy_that_keeps_running(broker: LocalBroker, device: AnsweringDevice) -> None:
    running = PolicyState(9, "ab" * 32, "accepted")
    device.answer = lambda pushed: [
        Reported("0.1.0", policy=running, refused=verdict_on(pushed, "refused", "version 3 is not above 9"))
    ]
    result = push(broker.address, CAMERA, POLICY, 3, 20)
    assert (result.outcome, result.reason) == ("refused", "version 3 is not above 9")


def test_a_refusal_of_an_earlier_push_is_not_the_answer(broker: LocalBroker, device: AnsweringDevice) -> None:
    device.answer = lambda pushed: [Reported("0.1.0", refused=verdict_on(pushed, "refused", "unsigned"))]
    assert push(broker.address, CAMERA, POLICY, 3, 20).outcome == "refused"
    device.answer = lambda pushed: [Reported("0.1.0", policy=verdict_on(pushed, "accepted"))]
    assert push(broker.address, CAMERA, POLICY, 3, 20).outcome == "accepted"


def test_no_answer_tells_what_is_known(broker: LocalBroker, device: AnsweringDevice) -> None:
    result = push(broker.address, CAMERA, POLICY, 3, 0.5)
    assert result.outcome == "no_answer"
    assert "online" in result.reason
    unknown = push(broker.address, Target("device", "cam-2"), POLICY, 3, 0.1)
    assert "never been seen" in unknown.reason


@pytest.mark.parametrize("target", [Target("group", "barn"), Target("fleet")])
def test_group_and_fleet_are_published(broker: LocalBroker, device: AnsweringDevice, target: Target) -> None:
    arrived = threading.Event()

    def note(_: PolicyPush) -> list[Reported]:
        arrived.set()
        return []

    device.answer = note
    assert push(broker.address, target, POLICY, 3, 0.0).outcome == "published"
    assert arrived.wait(20)
    assert device.received[-1].target == target


def test_what_no_device_would_open_is_not_pushed(broker: LocalBroker) -> None:
    with pytest.raises(EnvelopeError):
        push(broker.address, CAMERA, POLICY, 0, 0.1)


def test_unreachable_broker_is_told() -> None:
    with pytest.raises(PushError, match=r"127\.0\.0\.1:1"):
        push(Broker("127.0.0.1", 1), CAMERA, POLICY, 3, 0.1)
