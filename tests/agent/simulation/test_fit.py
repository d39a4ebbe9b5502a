"""Fitting finds the parameters of a device whose day was simulated and written as a recording."""

from pathlib import Path

import pytest
from simulation_cases import DEVICE, LADDER, course

from agent.policy.policy import Goals
from agent.simulation.course import Course, CourseError
from agent.simulation.fit import FitError, fit
from agent.simulation.run import Act, simulate
from drivers.trace import ReplayTrace


def recorded(tmp_path: Path) -> Path:
    """A day with an hour at each of two points in turn, as a recorder would write it."""
    points = (LADDER.full, LADDER.cheapest)
    run = simulate("x", lambda moment: Act(points[moment.second // 1800 % 2]), course(), DEVICE, Goals())
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
    with pytest.raises(CourseError, match="--requests"):
        Course.of(trace, DEVICE)
    day = Course.of(trace, DEVICE, 5.0)
    assert set(day.requests_hz) == {5.0}
    assert set(day.supply_w) == {0.0}
    assert day.charge_percent == 99.9


def test_a_scripted_day_keeps_its_clock_words_and_jumps(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("# clock: 06:30\ntime_s,supply_w,requests_hz,lost\n0,0,1,none\n10,4,1,battery\n20,4,3,none\n")
    day = Course.of(ReplayTrace.load(path), DEVICE)
    assert (day.clock_s, day.seconds) == (6.5 * 3600, 20)
    assert day.supply_w[5] == pytest.approx(2.0)
    assert [bool(lost) for lost in (day.lost[9], day.lost[10], day.lost[19])] == [False, True, True]
