"""The operator's push against a real broker and a device that answers."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.listener import BrokerError
from tidegate.fleet.push import PushResult, _Pusher, push, push_to_many
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.link import Link
from tidegate.telemetry.payloads.envelope import (
    EnvelopeError,
    PolicyPush,
    Target,
    open_envelope,
    policy_hash,
    policy_in,
    seal,
)
from tidegate.telemetry.payloads.reported import PolicyState, PolicyVerdict, Reported
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.topics import DeviceTopics

pytestmark = pytest.mark.broker

POLICY = "tidegate: 1\nname: field-camera\n"
CAMERA = Target("device", "cam-1")


def verdict_on(pushed: PolicyPush, state: PolicyVerdict, reason: str = "") -> PolicyState:
    return PolicyState(pushed.version, pushed.hash, state, reason, "field-camera", pushed.push_id)


class AnsweringDevice:
    """A real link; `answer` says what the device reports for a policy."""

    def __init__(
        self, broker: Broker, spool: Spool, name: str = "cam-1", groups: tuple[str, ...] = ("barn",)
    ) -> None:
        self.answer: Callable[[PolicyPush], list[Reported]] = lambda _: []
        self.received: list[PolicyPush] = []
        self.online = threading.Event()
        self.topics = DeviceTopics(name)
        self.link = Link(
            broker,
            Device(name, groups, 1),
            spool,
            on_policy=self._on_policy,
            on_state=lambda state: self.online.set() if state.state == "online" else None,
        )

    def reported_in(self, timeout_s: float) -> bool:
        """Whether the broker has what it last reported, after so long at the most."""
        until = time.monotonic() + timeout_s
        while not (delivered := self.link.delivered(self.topics.reported)) and time.monotonic() < until:
            time.sleep(0.02)
        return delivered

    def _on_policy(self, _topic: str, payload: bytes) -> None:
        pushed = policy_in(open_envelope(payload))
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
    assert accepted(push(broker.address, seal(POLICY, 3, CAMERA), 20))
    assert accepted(push(broker.address, seal(POLICY, 3, CAMERA), 20)), "pushing the same again is no error"
    assert device.received[0].policy == POLICY


def test_refused_beside_the_policy_that_keeps_running(broker: LocalBroker, device: AnsweringDevice) -> None:
    running = PolicyState(9, "ab" * 32, "accepted")
    device.answer = lambda pushed: [
        Reported("0.1.0", policy=running, refused=verdict_on(pushed, "refused", "version 3 is not above 9"))
    ]
    result = push(broker.address, seal(POLICY, 3, CAMERA), 20)
    assert (result.outcome, result.reason) == ("refused", "version 3 is not above 9")


def test_a_refusal_of_an_earlier_push_is_not_the_answer(broker: LocalBroker, device: AnsweringDevice) -> None:
    device.answer = lambda pushed: [Reported("0.1.0", refused=verdict_on(pushed, "refused", "unsigned"))]
    assert push(broker.address, seal(POLICY, 3, CAMERA), 20).outcome == "refused"
    device.answer = lambda pushed: [Reported("0.1.0", policy=verdict_on(pushed, "accepted"))]
    assert push(broker.address, seal(POLICY, 3, CAMERA), 20).outcome == "accepted"


def test_an_acceptance_from_before_is_not_the_answer(broker: LocalBroker, device: AnsweringDevice) -> None:
    """The device took it, then took it back, and of that the broker knew nothing yet when it was pushed again."""
    device.answer = lambda pushed: [Reported("0.2.0", policy=verdict_on(pushed, "accepted"))]
    assert push(broker.address, seal(POLICY, 3, CAMERA), 20).outcome == "accepted"
    before = device.received[-1]
    device.answer = lambda pushed: [
        Reported("0.2.0", policy=verdict_on(before, "accepted"), operating_point="late"),
        Reported("0.2.0", refused=verdict_on(before, "rolled_back", "3 workers ended")),
        Reported("0.2.0", refused=verdict_on(pushed, "rolled_back", "3 workers ended")),
    ]
    result = push(broker.address, seal(POLICY, 3, CAMERA), 20)
    assert (result.outcome, result.reason) == ("rolled_back", "3 workers ended")
    assert before.push_id != device.received[-1].push_id


def test_what_is_retained_of_a_silent_device_is_no_answer(broker: LocalBroker, device: AnsweringDevice) -> None:
    for verdict in ("accepted", "refused"):
        device.answer = lambda pushed, verdict=verdict: [report(pushed, verdict, "", ())]
        assert push(broker.address, seal(POLICY, 3, CAMERA), 20).outcome == verdict
        device.answer = lambda _: []
        assert push(broker.address, seal(POLICY, 3, CAMERA), 1.5).outcome == "no_answer"


def test_no_answer_tells_what_is_known(broker: LocalBroker, device: AnsweringDevice) -> None:
    result = push(broker.address, seal(POLICY, 3, CAMERA), 0.5)
    assert result.outcome == "no_answer"
    assert "online" in result.reason
    unknown = push(broker.address, seal(POLICY, 3, Target("device", "cam-2")), 0.1)
    assert "never been seen" in unknown.reason


class Yard:
    """Several devices, each of which answers a push in its own way, or not at all."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self._broker = broker
        self._directory = directory
        self.devices: list[AnsweringDevice] = []

    def add(self, name: str, groups: tuple[str, ...], verdict: PolicyVerdict | None, reason: str = "") -> None:
        device = AnsweringDevice(self._broker, Spool(self._directory / f"{name}.db", 10**6, 3600.0), name, groups)
        if verdict is not None:
            device.answer = lambda pushed: [report(pushed, verdict, reason, groups)]
        self.devices.append(device)
        device.link.report(Reported("0.2.0", groups=groups).to_document())
        device.link.start()
        assert device.online.wait(20)


def report(pushed: PolicyPush, verdict: PolicyVerdict, reason: str, groups: tuple[str, ...]) -> Reported:
    said = verdict_on(pushed, verdict, reason)
    if verdict == "accepted":
        return Reported("0.2.0", policy=said, groups=groups)
    return Reported("0.2.0", refused=said, groups=groups)


@pytest.fixture
def yard(broker: LocalBroker, tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(broker.address, tmp_path)
    yield yard
    for device in yard.devices:
        device.link.stop(0.2)


BARN, FLEET = Target("group", "barn"), Target("fleet")


def test_a_group_that_takes_it_all(broker: LocalBroker, yard: Yard) -> None:
    yard.add("gate-1", ("barn",), "accepted")
    yard.add("gate-2", ("barn", "yard"), "accepted")
    yard.add("gate-3", ("yard",), "refused")
    roll = push_to_many(broker.address, seal(POLICY, 3, BARN), 20)
    assert (roll.accepted, roll.refused, roll.silent) == (("gate-1", "gate-2"), {}, {})
    assert yard.devices[0].received[-1].target == BARN
    again = push_to_many(broker.address, seal(POLICY, 3, BARN), 20)
    assert again.accepted == ("gate-1", "gate-2"), "what they have already is taken"
    assert again.waited_s < 10


def test_a_fleet_tells_who_refused_and_who_is_silent(broker: LocalBroker, yard: Yard) -> None:
    yard.add("gate-1", ("barn",), "accepted")
    yard.add("gate-2", (), "refused", "version 3 is older")
    yard.add("gate-3", (), "rolled_back", "the worker stopped answering")
    yard.add("gate-4", (), None)
    yard.add("gate-5", (), "trial")
    yard.add("gate-6", (), None)
    yard.devices[-1].link.stop(1.0)
    roll = push_to_many(broker.address, seal(POLICY, 3, FLEET), 1.5)
    assert roll.accepted == ("gate-1",)
    assert roll.refused == {"gate-2": "version 3 is older", "gate-3": "the worker stopped answering"}
    assert roll.silent.keys() == {"gate-4", "gate-5", "gate-6"}
    assert "online" in roll.silent["gate-4"]
    assert "trying" in roll.silent["gate-5"]
    assert "offline" in roll.silent["gate-6"]


def test_those_that_are_offline_are_not_waited_for(broker: LocalBroker, yard: Yard) -> None:
    yard.add("gate-1", ("barn",), "accepted")
    yard.add("gate-2", ("barn",), None)
    yard.devices[-1].link.stop(1.0)
    roll = push_to_many(broker.address, seal(POLICY, 3, BARN), 60)
    assert roll.waited_s < 30
    assert (roll.accepted, roll.silent.keys()) == (("gate-1",), {"gate-2"})


def test_an_answer_that_the_broker_dropped_is_asked_for(
    broker: LocalBroker, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = _Pusher._on_message
    monkeypatch.setattr(_Pusher, "_on_message", lambda self, message: message.retain and take(self, message))
    yard.add("gate-1", ("barn",), "accepted")
    yard.add("gate-2", ("barn",), "accepted")
    for device in yard.devices:
        assert device.reported_in(10)
    roll = push_to_many(broker.address, seal(POLICY, 3, BARN), 30)
    assert roll.accepted == ("gate-1", "gate-2")
    assert roll.waited_s < 15


def test_a_group_that_nobody_is_in(broker: LocalBroker, yard: Yard) -> None:
    yard.add("gate-1", ("yard",), "accepted")
    roll = push_to_many(broker.address, seal(POLICY, 3, BARN), 0.5)
    assert (roll.accepted, roll.refused, roll.silent) == ((), {}, {})


def test_what_no_device_would_open_is_not_pushed(broker: LocalBroker) -> None:
    with pytest.raises(EnvelopeError):
        push(broker.address, seal(POLICY, 0, CAMERA), 0.1)


def test_unreachable_broker_is_told() -> None:
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        push(Broker("127.0.0.1", 1), seal(POLICY, 3, CAMERA), 0.1)
