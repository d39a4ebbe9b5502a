"""Fitting finds the parameters of a device whose day was simulated and written as a recording."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from simulation_cases import DEVICE, LADDER, scenario

from tidegate.policy.policy import Goals
from tidegate.simulation.fit import FitError, fit
from tidegate.simulation.run import Act, simulate
from tidegate.simulation.scenario import Scenario, ScenarioError
from tidegate_drivers.trace import ReplayTrace


def recorded(tmp_path: Path) -> Path:
    """A day with an hour at each of two points in turn, as a recorder would write it."""
    points = (LADDER.full, LADDER.cheapest)
    run = simulate("x", lambda moment: Act(points[moment.second // 1800 % 2]), scenario(), DEVICE, Goals())
    rows = [
        f"{each.second},{each.battery_percent:.1f},battery,{each.celsius:.2f},{each.draw_w:.3f}"
        for each in run.diary
        if each.draw_w > 0
    ]
    path = tmp_path / "day.csv"
    path.write_text("\n".join(["time_s,battery_percent,power_source,temperature_c,power_w", *rows]) + "\n")
    return path


def test_a_simulated_devices_parameters_come_back(tmp_path):
    fitted = fit(ReplayTrace.load(recorded(tmp_path)))
    assert fitted.heat_k_per_w == pytest.approx(6.0, rel=0.05)
    assert fitted.heat_span_s == pytest.approx(300.0, rel=0.1)
    assert fitted.ambient_c == pytest.approx(22.0, abs=1.0)
    assert fitted.battery_wh == pytest.approx(12.0, rel=0.05)
    assert fitted.error_c < 0.1


def test_what_a_day_does_not_show_is_not_made_up(tmp_path):
    flat = tmp_path / "flat.csv"
    flat.write_text("time_s,power_w,temperature_c\n0,3,40\n3600,3,40\n")
    fitted = fit(ReplayTrace.load(flat))
    assert (fitted.heat_k_per_w, fitted.heat_span_s, fitted.battery_wh) == (None, None, None)
    bare = tmp_path / "bare.csv"
    bare.write_text("time_s,temperature_c\n0,40\n3600,41\n")
    with pytest.raises(FitError, match="power_w"):
        fit(ReplayTrace.load(bare))


def test_a_recorded_day_can_be_simulated_when_the_load_is_told(tmp_path):
    trace = ReplayTrace.load(recorded(tmp_path))
    with pytest.raises(ScenarioError, match="--requests"):
        Scenario.of(trace, DEVICE)
    day = Scenario.of(trace, DEVICE, 5.0)
    assert set(day.requests_hz) == {5.0}
    assert set(day.supply_w) == {0.0}
    assert day.charge_percent == 99.9


def test_a_scripted_day_keeps_its_clock_words_and_jumps(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("# clock: 06:30\ntime_s,supply_w,requests_hz,lost\n0,0,1,none\n10,4,1,battery\n20,4,3,none\n")
    day = Scenario.of(ReplayTrace.load(path), DEVICE)
    assert (day.clock_s, day.seconds) == (6.5 * 3600, 20)
    assert day.supply_w[5] == pytest.approx(2.0)
    assert [bool(lost) for lost in (day.lost[9], day.lost[10], day.lost[19])] == [False, True, True]


HEAD = "time_s,battery_percent,power_source,temperature_c,power_w\n"


@pytest.mark.parametrize(
    ("power", "said"),
    [("", "the column power_w has no value"), ("0", "the column power_w is 0 throughout")],
)
def test_a_day_without_power_says_what_is_missing_and_what_stays(tmp_path, power, said):
    path = tmp_path / "dark.csv"
    path.write_text(
        HEAD + "".join(f"{at},{90 - at / 60},battery,{40 + at % 7},{power}\n" for at in range(0, 900, 10))
    )
    with pytest.raises(FitError, match=said) as caught:
        fit(ReplayTrace.load(path))
    assert "the board's profile stay as they are" in str(caught.value)


DAYS = {
    "no temperature": (
        lambda at: (90 - at / 60, "battery", "", 3 + at % 3),
        "heat_k_per_w",
        "temperature_c has no value",
    ),
    "no battery": (lambda at: ("", "battery", 40 + at % 7, 3 + at % 3), "battery", "battery_percent has no value"),
    "never unplugged": (lambda at: (50, "external", 40, 3 + at % 3), "battery", "is never seen on battery"),
    "hardly used": (lambda at: (90 - at / 1e4, "battery", 40, 3 + at % 3), "battery", "on battery, at least 5 %"),
    "steady draw": (lambda at: (90 - at / 60, "battery", 40 + at % 7, 3), "heat_span", "less than 0.1 W"),
    "steady temperature": (
        lambda at: (90 - at / 60, "battery", 40, 3 + at % 3),
        "ambient",
        "does not follow the draw",
    ),
    "a sensor that came late": (
        lambda at: (90 - at / 60, "battery", 40 + at % 7 if at > 850 else "", 3 + at % 3),
        "heat_k_per_w",
        "known together for",
    ),
    "two rows": (lambda at: (90, "battery", 40, 3 + at) if at < 20 else None, "heat_k_per_w", "100 s are needed"),
}


@pytest.mark.parametrize("day", DAYS)
def test_each_figure_that_a_day_does_not_show_has_its_reason_and_no_number(tmp_path, day):
    cells, key, reason = DAYS[day]
    rows = [(at, cells(at)) for at in range(0, 900, 10)]
    path = tmp_path / "day.csv"
    lines = [",".join(str(cell) for cell in (at, *row)) for at, row in rows if row is not None]
    path.write_text(HEAD + "\n".join(lines) + "\n")
    fitted = fit(ReplayTrace.load(path))
    assert reason in fitted.unknown[key]
    shown = {"heat_k_per_w": fitted.heat_k_per_w, "heat_span": fitted.heat_span_s, "battery": fitted.battery_wh}
    for name, value in {**shown, "ambient": fitted.ambient_c, "idle": fitted.idle_w}.items():
        assert (value is None) is (name in fitted.unknown)
        assert value is None or math.isfinite(value)
    assert fitted.idle_w > 0


def test_a_day_of_milliseconds_is_refused_before_it_is_played(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("time_s,power_w\n0,3\n1700000000000,4\n")
    with pytest.raises(FitError, match="at most a year"):
        fit(ReplayTrace.load(path))
    with pytest.raises(ScenarioError, match="to a year"):
        Scenario.of(ReplayTrace.load(path), DEVICE, 1.0)
    path.write_text("time_s,power_w\n0,3\n0.5,4\n")
    with pytest.raises(ScenarioError, match=r"lasts 0\.5 s"):
        Scenario.of(ReplayTrace.load(path), DEVICE, 1.0)


def test_an_empty_column_is_no_column(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("time_s,requests_hz,battery_percent,supply_w,power_source\n0,,,,external\n20,,60,,external\n")
    with pytest.raises(ScenarioError, match="no value in column requests_hz; give their rate with --requests"):
        Scenario.of(ReplayTrace.load(path), DEVICE)
    day = Scenario.of(ReplayTrace.load(path), DEVICE, 2.0)
    assert (set(day.requests_hz), day.charge_percent, set(day.supply_w)) == ({2.0}, 60.0, {DEVICE.supply_w})


def test_a_device_without_a_battery_runs_where_nothing_says_on_what(tmp_path):
    path = tmp_path / "bare.csv"
    path.write_text("time_s,requests_hz\n0,1\n20,1\n")
    mains = replace(DEVICE, battery_wh=None)
    assert set(Scenario.of(ReplayTrace.load(path), mains).supply_w) == {DEVICE.supply_w}
    assert set(Scenario.of(ReplayTrace.load(path), DEVICE).supply_w) == {0.0}


def test_a_day_on_battery_is_not_played_by_a_device_without_one(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("time_s,supply_w,requests_hz\n0,0,2\n60,0,2\n")
    trace, mains = ReplayTrace.load(path), replace(DEVICE, battery_wh=None)
    with pytest.raises(ScenarioError, match="the device has none; name a board with a battery"):
        Scenario.of(trace, mains)
    assert Scenario.of(trace, DEVICE).seconds == 60
    path.write_text("time_s,supply_w,requests_hz\n0,0,2\n60,5,2\n")
    assert Scenario.of(ReplayTrace.load(path), mains).seconds == 60
