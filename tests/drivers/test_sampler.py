"""The sampler with sensors that answer, fail, lie and hang."""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import (
    BATTERY,
    ENERGY,
    POWER,
    POWER_SOURCE,
    TEMPERATURE,
    UNITS,
    Freshness,
    Provenance,
    Snapshot,
    Unit,
    Value,
)
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

BOUND_S = 20.0


def sensor(
    name: str,
    read: Callable[[], Value],
    source: str = "test",
    interval_s: float = 0.02,
) -> Sensor:
    return Sensor(name, UNITS[name], Provenance.MEASURED, source, read, interval_s)


def discovery(*sensors: Sensor, driver: str = "test", unavailable: tuple[Unavailable, ...] = ()) -> Discovery:
    return Discovery(driver, sensors, unavailable)


@contextmanager
def running(*discoveries: Discovery, clock: Callable[[], float] = time.monotonic) -> Iterator[Sampler]:
    sampler = Sampler(discoveries, clock)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.stop(timeout_s=0.2)


def wait_for(sampler: Sampler, holds: Callable[[Snapshot], bool]) -> Snapshot:
    ends_at = time.monotonic() + BOUND_S
    while time.monotonic() < ends_at:
        snapshot = sampler.snapshot()
        if holds(snapshot):
            return snapshot
        time.sleep(0.005)
    pytest.fail(f"never came true within {BOUND_S:g} s; last: {sampler.snapshot()}")


def failing(reason: str) -> Callable[[], Value]:
    def read() -> Value:
        raise SensorError(reason)

    return read


def test_before_the_first_read_nothing_is_known() -> None:
    snapshot = Sampler([discovery(sensor(BATTERY, lambda: 41.0))]).snapshot()
    assert snapshot.readings[BATTERY].reason == "not read yet"
    assert snapshot.number(BATTERY) is None


def test_values_arrive_and_are_renewed() -> None:
    values = iter(range(10_000))
    with running(discovery(sensor(BATTERY, lambda: float(next(values))))) as sampler:
        wait_for(sampler, lambda snapshot: (snapshot.number(BATTERY) or 0.0) >= 3.0)


def test_hanging_sensor_costs_only_its_own_driver() -> None:
    release = threading.Event()

    def hang() -> Value:
        release.wait(BOUND_S)
        return 50.0

    ticks = iter(range(10_000))
    stuck = discovery(sensor(TEMPERATURE, hang), driver="stuck")
    lively = discovery(sensor(BATTERY, lambda: float(next(ticks))), driver="lively")
    plain = discovery(sensor(POWER_SOURCE, lambda: "battery"))
    with running(stuck, lively, plain) as sampler:
        snapshot = wait_for(
            sampler,
            lambda now: (
                (now.number(BATTERY) or 0.0) >= 5.0
                and now.word(POWER_SOURCE) == "battery"
                and "has not answered for" in now.readings[TEMPERATURE].reason
            ),
        )
        assert snapshot.freshness(TEMPERATURE) is Freshness.UNAVAILABLE
        release.set()
        wait_for(sampler, lambda now: now.number(TEMPERATURE) == 50.0)


def test_hang_after_a_value_makes_it_stale() -> None:
    release = threading.Event()
    answers = iter([50.0])

    def read() -> Value:
        for value in answers:
            return value
        release.wait(BOUND_S)
        return 51.0

    now = 0.0
    with running(discovery(sensor(TEMPERATURE, read)), clock=lambda: now) as sampler:
        wait_for(sampler, lambda snapshot: snapshot.number(TEMPERATURE) == 50.0)
        now = 1.0  # due again: the read that hangs
        assert sampler.snapshot().freshness(TEMPERATURE) is Freshness.FRESH
        now = 60.0
        assert sampler.snapshot().freshness(TEMPERATURE) is Freshness.STALE
        release.set()


def test_stop_returns_though_a_read_hangs() -> None:
    release = threading.Event()
    asked = threading.Event()

    def hang() -> Value:
        asked.set()
        release.wait(BOUND_S)
        return 1.0

    sampler = Sampler([discovery(sensor(BATTERY, hang))])
    sampler.start()
    assert asked.wait(BOUND_S)
    began_at = time.monotonic()
    sampler.stop(timeout_s=0.1)
    assert time.monotonic() - began_at < BOUND_S / 2
    release.set()


def test_failure_is_unavailable_with_its_reason_and_heals() -> None:
    broken = threading.Event()

    def read() -> Value:
        if broken.is_set():
            raise SensorError("BAT0 is gone")
        return 41.0

    with running(discovery(sensor(BATTERY, read))) as sampler:
        wait_for(sampler, lambda snapshot: snapshot.number(BATTERY) == 41.0)
        broken.set()
        snapshot = wait_for(sampler, lambda now: now.readings[BATTERY].value is None)
        assert snapshot.readings[BATTERY].reason == "BAT0 is gone"
        broken.clear()
        wait_for(sampler, lambda snapshot: snapshot.number(BATTERY) == 41.0)


def test_failures_are_retried_ever_less_often() -> None:
    now = 0.0
    asked_at: list[float] = []

    def read() -> Value:
        asked_at.append(now)
        raise SensorError("gone")

    with running(discovery(sensor(BATTERY, read, interval_s=1e-3)), clock=lambda: now) as sampler:
        slot = sampler._pollers[0]._polled[0]
        for count in range(1, 8):
            wait_for(sampler, lambda _, count=count: len(asked_at) == count and slot.due > asked_at[-1])
            now = slot.due
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert gaps[:6] == pytest.approx([1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3])


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (failing("no such battery"), "no such battery"),
        (lambda: open("/no/such/file").read(), "No such file"),  # noqa: PTH123, SIM115  any OSError will do
        (lambda: 1 / 0, "defect in the driver: ZeroDivisionError"),
        (lambda: math.nan, "defect in the driver: it gave nan"),
        (lambda: "full", "defect in the driver: it gave 'full'"),
    ],
)
def test_take_never_raises(read: Callable[[], Value], reason: str) -> None:
    reading = read_sensor(sensor(BATTERY, read))
    assert reading.value is None
    assert reason in reading.reason


def test_take_refuses_a_number_for_a_word() -> None:
    assert read_sensor(sensor(POWER_SOURCE, lambda: 1.0)).value is None


def test_age_limit_follows_from_the_interval() -> None:
    assert read_sensor(sensor(BATTERY, lambda: 1.0, interval_s=4.0)).max_age_s == 12.0
    assert read_sensor(sensor(BATTERY, lambda: 1.0, interval_s=0.1)).max_age_s == 5.0


def test_first_discovery_with_a_value_wins_and_the_next_stands_in() -> None:
    lost = threading.Event()

    def real() -> Value:
        if lost.is_set():
            raise SensorError("unplugged")
        return 41.0

    first = discovery(sensor(BATTERY, real, source="power_supply/BAT0"), driver="power_supply")
    second = discovery(sensor(BATTERY, lambda: 90.0, source="replay/day"), driver="replay")
    with running(first, second) as sampler:
        wait_for(
            sampler, lambda now: now.readings[BATTERY].source == "power_supply/BAT0" and now.number(BATTERY) == 41
        )
        lost.set()
        wait_for(sampler, lambda now: now.readings[BATTERY].source == "replay/day")
        lost.clear()
        wait_for(sampler, lambda now: now.number(BATTERY) == 41.0)


def test_refusal_speaks_only_where_no_sensor_does() -> None:
    refused = discovery(driver="linux", unavailable=(Unavailable(BATTERY, "power_supply", "no battery"),))
    snapshot = Sampler([refused]).snapshot()
    assert snapshot.readings[BATTERY].reason == "no battery"
    with running(refused, discovery(sensor(BATTERY, lambda: 90.0, source="replay/day"))) as sampler:
        wait_for(sampler, lambda now: now.number(BATTERY) == 90.0)


def test_reason_is_of_what_was_found_then_of_a_permission_then_of_what_is_not_there() -> None:
    absent = discovery(driver="power_supply", unavailable=(Unavailable(POWER, "power_supply", "no battery"),))
    denied = discovery(
        driver="rapl", unavailable=(Unavailable(POWER, "rapl", "energy_uj is for root", "sudo chmod a+r"),)
    )
    failed = discovery(sensor(POWER, failing("the rails report 0 W")), driver="jetson")
    assert Sampler([absent]).snapshot().readings[POWER].reason == "no battery"
    reading = Sampler([absent, denied]).snapshot().readings[POWER]
    assert (reading.source, reading.reason) == ("rapl", "energy_uj is for root; to grant it: sudo chmod a+r")
    with running(absent, denied, failed) as sampler:
        wait_for(sampler, lambda now: now.readings[POWER].reason == "the rails report 0 W")


def test_energy_is_added_from_power_where_no_driver_counts_it() -> None:
    with running(discovery(sensor(POWER, lambda: 50.0))) as sampler:
        snapshot = wait_for(sampler, lambda now: (now.number(ENERGY) or 0.0) > 5.0)
        assert snapshot.readings[ENERGY].provenance is Provenance.ESTIMATED
        assert snapshot.readings[ENERGY].unit is Unit.JOULE


def test_changes_alone_are_told() -> None:
    heard: list[str] = []
    values = itertools.chain([50.0, 50.0, 51.0], itertools.repeat(51.0))
    sampler = Sampler([discovery(sensor(POWER, lambda: next(values)), sensor(BATTERY, lambda: 90.0))])
    sampler.start(heard.append)
    try:
        wait_for(sampler, lambda now: now.number(POWER) == 51.0 and (now.number(ENERGY) or 0.0) > 2.0)
    finally:
        sampler.stop()
    assert sorted(heard) == [BATTERY, POWER, POWER]


def test_counted_energy_goes_before_added_energy() -> None:
    counted = Sensor(ENERGY, Unit.JOULE, Provenance.MEASURED, "counter", lambda: 0.25, 0.02)
    with running(discovery(sensor(POWER, lambda: 50.0), counted)) as sampler:
        wait_for(sampler, lambda now: sampler._account.reading is not None and now.number(ENERGY) == 0.25)
