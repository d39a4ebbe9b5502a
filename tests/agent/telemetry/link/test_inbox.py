"""Policies are acknowledged after they are stored, not before."""

import time
from types import SimpleNamespace

import pytest

from tidegate.telemetry.heard import Heard
from tidegate.telemetry.link import inbox as inbox_module
from tidegate.telemetry.link.inbox import BURST_S, MIN_PAUSE_S, PAUSE_FACTOR, Inbox


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


def test_of_a_flood_the_newest_is_taken_now_and_then_and_all_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    # All at one moment, however long the machine takes for it.
    moment = time.monotonic()
    monkeypatch.setattr(inbox_module, "time", SimpleNamespace(monotonic=lambda: moment))
    device = Device()
    inbox = Inbox(device.store, device.acknowledge)
    for mid in range(1, 1001):
        inbox.receive("p", b"%d" % mid, mid)
    stored = [what for how, what in device.happened if how == "stored"]
    assert len(stored) == BURST_S / MIN_PAUSE_S + 1
    assert stored == [b"%d" % mid for mid in range(1, len(stored) + 1)]
    inbox.receive("q", b"of another topic", 2000)
    assert device.happened[-2:] == [("stored", b"of another topic"), ("acknowledged", 2000)]
    inbox.retry(moment + BURST_S)
    assert device.happened[-2:] == [("stored", b"1000"), ("acknowledged", 1000)]
    assert sorted(str(what) for how, what in device.happened if how == "acknowledged") == sorted(
        map(str, [*range(1, 1001), 2000])
    )


def test_a_topic_whose_policies_take_long_rests_longer() -> None:
    stored = []

    def slow(_topic: str, payload: bytes) -> None:
        time.sleep(0.5)
        stored.append(payload)

    inbox = Inbox(slow, lambda _: None)
    for mid in range(100):
        inbox.receive("p", b"%d" % mid, mid)
    assert len(stored) <= BURST_S / ((PAUSE_FACTOR - 1) * 0.5) + 2


def test_each_policy_is_counted_by_what_became_of_it() -> None:
    device, counts = Device(), Heard()
    inbox = Inbox(device.store, device.acknowledge, counts)
    inbox.receive("p", b"", 1)
    inbox.receive("p", b"one", 2)
    device.disk_works = False
    inbox.receive("p", b"two", 3)
    device.disk_works = True
    inbox.receive("p", b"three", 4)
    inbox.retry(time.monotonic() + 1000)
    fates = {fate: count for (_, fate), count in counts.counts.items()}
    assert fates == {"cleared": 1, "judged": 2, "overtaken": 1, "put off": 1}
