"""Energy from counters and from power: wraps, gaps, suspends and resets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_drivers.clocks import Clocks
from tidegate_drivers.energy import CounterMeter, PowerMeter, step_j
from tidegate_drivers.energy_account import EnergyAccount
from tidegate_drivers.reading import Provenance, Reading, Unit


def at(seconds: float, slept: float = 0.0) -> Clocks:
    return Clocks(seconds, seconds + slept)


@pytest.mark.parametrize(
    ("before", "now", "wraps_at", "elapsed", "risen"),
    [
        (10.0, 30.0, 100.0, 2.0, 20.0),
        (95.0, 5.0, 100.0, 2.0, 10.0),
        (95.0, 5.0, None, 2.0, None),  # an unknown range: codecarbon books a whole wrap here
        (200_000.0, 10.0, 262_143.0, 2.0, None),  # 31 kW: the counter was reset, it did not wrap
        (10.0, 10.0, 100.0, 2.0, 0.0),
        (10.0, 30.0, 100.0, 0.0, None),
    ],
)
def test_counter_step(
    before: float, now: float, wraps_at: float | None, elapsed: float, risen: float | None
) -> None:
    assert step_j(before, now, wraps_at, elapsed) == risen


@given(
    start=st.integers(0, 999), powers=st.lists(st.integers(0, 400), min_size=1, max_size=50), range_j=st.just(1000)
)
def test_wrapping_counter_loses_nothing(start: int, powers: list[int], range_j: int) -> None:
    meter = CounterMeter(float(range_j))
    counted = start
    meter.add(float(counted % range_j), at(0))
    for second, watts in enumerate(powers, 1):
        counted += watts
        assert meter.add(float(counted % range_j), at(second)) == watts
    assert meter.energy_j == sum(powers)
    assert meter.gaps == 0


def test_nothing_is_booked_across_a_suspend() -> None:
    counter, power = CounterMeter(1000.0), PowerMeter()
    counter.add(10.0, at(0))
    power.add(5.0, at(0))
    assert counter.add(900.0, at(2, slept=3600)) is None
    power.add(5.0, at(2, slept=3600))
    assert (counter.energy_j, counter.gaps) == (0.0, 1)
    assert (power.energy_j, power.gaps) == (0.0, 1)
    assert counter.add(920.0, at(4, slept=3600)) == 10.0


def test_power_is_a_trapezoid_with_capped_gaps() -> None:
    meter = PowerMeter()
    meter.add(4.0, at(0))
    meter.add(6.0, at(10))
    assert meter.energy_j == 50.0
    meter.add(6.0, at(1000))
    assert (meter.energy_j, meter.gaps) == (50.0, 1)
    meter.lose()
    meter.add(100.0, at(1001))
    assert (meter.energy_j, meter.gaps) == (50.0, 2)


def reading(value: float | None, when: float, source: str = "power_supply/BAT0") -> Reading:
    if value is None:
        return Reading.unavailable(Unit.WATT, when, source, "on external power")
    return Reading(value, Unit.WATT, when, Provenance.MEASURED, source)


def test_account_books_each_reading_once_and_no_gap() -> None:
    seconds = iter((0.0, 2.0, 4.0, 60.0, 62.0))
    account = EnergyAccount(lambda: at(next(seconds)))
    for power in (
        reading(5.0, 0),
        reading(5.0, 0),  # the same reading, seen again
        reading(5.0, 2),
        reading(5.0, 4),
        reading(None, 6),
        reading(5.0, 60),
        reading(5.0, 62),
    ):
        account.add(power)
    assert account.reading is not None
    assert account.reading.value == pytest.approx(4 * 5.0 + 2 * 5.0)
    assert account.reading.provenance is Provenance.ESTIMATED
    assert "1 gaps left out" in account.reading.source


def test_account_has_no_reading_before_there_is_energy() -> None:
    account = EnergyAccount(lambda: at(0))
    account.add(reading(5.0, 0))
    account.add(reading(None, 1))
    assert account.reading is None
