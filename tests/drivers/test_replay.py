"""Traces played against a clock, and the day that the demo plays."""

from itertools import groupby, pairwise
from pathlib import Path

import pytest

from tidegate_drivers.reading import BATTERY, POWER, POWER_SOURCE, TEMPERATURE, UNITS, Provenance, Value
from tidegate_drivers.replay import ReplayTrace, discover
from tidegate_drivers.sensor import Discovery, SensorError
from tidegate_drivers.trace import Track

DAY = Path(__file__).parents[2] / "profiles/traces/field-camera-day.csv"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def short_trace() -> ReplayTrace:
    times_s = (50.0, 60.0, 70.0)
    return ReplayTrace(
        "short", 50.0, 20.0, {BATTERY: Track(times_s, (100.0, 50.0, 0.0)), POWER: Track(times_s, (5.0, None, 5.0))}
    )


def read(found: Discovery, name: str) -> Value:
    return next(sensor for sensor in found.sensors if sensor.name == name).read()


def test_whole_trace_is_played_within_the_span_and_then_holds(clock: Clock) -> None:
    found = discover(short_trace(), 4.0, clock=clock)
    played = []
    for clock.now in (100.0, 101.0, 102.0, 104.0, 1000.0):
        played.append(read(found, BATTERY))
    assert played == [100.0, 75.0, 50.0, 0.0, 0.0]


def test_loop_begins_again(clock: Clock) -> None:
    found = discover(short_trace(), 4.0, loop=True, clock=clock)
    clock.now = 105.0
    assert read(found, BATTERY) == 75.0


def test_without_a_span_time_is_real(clock: Clock) -> None:
    found = discover(short_trace(), clock=clock)
    clock.now = 110.0
    assert read(found, BATTERY) == 50.0


def test_lost_sensor_is_no_value(clock: Clock) -> None:
    found = discover(short_trace(), 4.0, clock=clock)
    clock.now = 103.0
    with pytest.raises(SensorError, match="the sensor is lost"):
        read(found, POWER)


def test_everything_is_labelled_replay_and_estimated() -> None:
    found = discover(short_trace(), 4.0)
    assert {(sensor.source, sensor.provenance) for sensor in found.sensors} == {
        ("replay/short", Provenance.ESTIMATED)
    }
    assert all(sensor.unit is UNITS[sensor.name] for sensor in found.sensors)
    assert {missing.name for missing in found.unavailable} == set(UNITS) - {BATTERY, POWER}


@pytest.mark.parametrize("span_s", [0.0, -1.0, float("nan")])
def test_span_must_be_positive(span_s: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        discover(short_trace(), span_s)


def test_the_days_battery_falls_by_the_energy_drawn() -> None:
    tracks = ReplayTrace.load(DAY).tracks
    battery, power = tracks[BATTERY], tracks[POWER]
    unplugged_s, plugged_s = 10_800.0, 63_000.0
    steps = list(pairwise(unplugged_s + 60.0 * step for step in range(int((plugged_s - unplugged_s) / 60.0))))
    drawn_wh = sum((power.at(a) + power.at(b)) / 2 * (b - a) / 3600 for a, b in steps)  # type: ignore[operator]
    fallen_percent = battery.at(unplugged_s) - battery.at(plugged_s)  # type: ignore[operator]
    assert drawn_wh / 48.0 * 100.0 == pytest.approx(fallen_percent, abs=0.5)


def test_the_day_gives_a_policy_distinct_states_long_enough_to_see(clock: Clock) -> None:
    found = discover(ReplayTrace.load(DAY), 45.0, clock=clock)
    hot = False
    states = []
    for step in range(450):
        clock.now = 100.0 + step / 10
        temperature, battery = read(found, TEMPERATURE), read(found, BATTERY)
        assert isinstance(temperature, float)
        assert isinstance(battery, float)
        hot = temperature > 80 or (hot and temperature >= 72)
        on_battery = read(found, POWER_SOURCE) == "battery"
        if hot:
            states.append("overheating")
        elif on_battery and battery < 50:
            states.append("low" if battery < 20 else "saver")
        else:
            states.append("full")
    runs = [(state, sum(1 for _ in steps) / 10) for state, steps in groupby(states)]
    assert [state for state, _ in runs] == ["full", "saver", "low", "overheating", "low", "full"]
    assert all(lasts_s >= 3.5 for _, lasts_s in runs), runs
