"""The spool's benchmark: what it makes of a run, and that a small one drains all."""

import pytest

from tidegate_bench.mqtt import spool as bench
from tidegate_bench.mqtt.demo_window import full_bytes, lean_bytes
from tidegate_bench.mqtt.spool import Drained, figures_of, grows_mb


def test_the_lean_form_is_a_fraction_of_the_full_one() -> None:
    assert lean_bytes() <= 400
    assert full_bytes() > 3 * lean_bytes()


def test_rates_are_per_second_of_processor_time_and_growth_is_after_the_first_rows() -> None:
    figures = figures_of(1_000, Drained(0.5, 0.1, 900, (30.0, 40.0, 40.0, 40.0, 41.0, 41.0), 100))
    values = {goal.goal: goal.value for goal in figures.goals}
    assert values["drained per second of processor time"] == pytest.approx(9_000)
    assert values["left in the spool"] == 100
    assert values["RSS grows while it drains by, MB"] == 1.0
    assert grows_mb((1.0, 2.0)) is None


def test_a_day_is_counted_at_the_default_window() -> None:
    figures = figures_of(1, Drained(1.0, 1.0, 1, (), None))
    lean = next(row for row in figures.rows if row.get("form") == "lean")
    assert lean["mb a day"] == pytest.approx(lean_bytes() * 8640 / 1e6)
    assert [goal.met for goal in figures.goals][1] is False, "an unreadable spool is not an empty one"


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_a_quick_one_leaves_nothing_behind() -> None:
    figures = bench.run(quick=True, progress=lambda _: None)
    assert {goal.goal: goal.value for goal in figures.goals}["left in the spool"] == 0
