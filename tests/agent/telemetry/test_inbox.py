"""Policies are acknowledged after they are stored, not before."""

import time

from agent.telemetry.inbox import Inbox


class Device:
    """Stores policies while its disk works; keeps the order of what happened."""

    def __init__(self) -> None:
        self.disk_works = True
        self.happened: list[tuple[str, object]] = []

    def store(self, topic: str, payload: bytes) -> None:
        if not self.disk_works:
            raise OSError(28, "No space left on device")
        self.happened.append(("stored", payload))

    def acknowledge(self, mid: int) -> None:
        self.happened.append(("acknowledged", mid))


def test_acknowledged_after_stored() -> None:
    device = Device()
    Inbox(device.store, device.acknowledge).receive("p", b"one", 7)
    assert device.happened == [("stored", b"one"), ("acknowledged", 7)]


def test_a_policy_that_could_not_be_stored_comes_again() -> None:
    device = Device()
    device.disk_works = False
    inbox = Inbox(device.store, device.acknowledge)
    inbox.receive("p", b"one", 7)
    assert device.happened == []
    inbox.retry(time.monotonic() + 1000)
    assert device.happened == []
    device.disk_works = True
    inbox.retry(time.monotonic() + 1000)
    assert device.happened == [("stored", b"one"), ("acknowledged", 7)]
    inbox.retry(time.monotonic() + 10_000)
    assert len(device.happened) == 2


def test_a_newer_policy_overtakes_the_waiting_one() -> None:
    device = Device()
    device.disk_works = False
    inbox = Inbox(device.store, device.acknowledge)
    inbox.receive("p", b"one", 7)
    device.disk_works = True
    inbox.receive("p", b"two", 8)
    inbox.retry(time.monotonic() + 1000)
    assert device.happened == [("acknowledged", 7), ("stored", b"two"), ("acknowledged", 8)]


def test_nothing_is_acknowledged_on_a_later_connection() -> None:
    device = Device()
    device.disk_works = False
    inbox = Inbox(device.store, device.acknowledge)
    inbox.receive("p", b"one", 7)
    inbox.connection_lost()
    device.disk_works = True
    inbox.retry(time.monotonic() + 1000)
    assert device.happened == []


def test_clearing_a_retained_policy_is_no_policy() -> None:
    device = Device()
    Inbox(device.store, device.acknowledge).receive("p", b"", 7)
    assert device.happened == [("acknowledged", 7)]
