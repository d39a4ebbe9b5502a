"""A point that somebody holds: what is asked for, within what protects the device and the accuracy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import LADDER, NOON, snapshot

from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.hold import HELD, held
from tidegate.policy.schema import load_policy

POLICY = load_policy(
    """\
tidegate: 1
name: field
version: 3
max_accuracy_loss: 1 %
dwell: {down: 0 s, up: 0 s}
default: {use: full}
rules:
  - {name: hot, when: {temperature: {above: 80 C, until: 70 C}}, use: cheapest, urgent: true}
  - {name: empty, when: {battery: {below: 5 %, until: 10 %}}, use: pause}
  - {name: low, when: {battery: {below: 30 %, until: 40 %}}, use: cheapest}
goals: {battery_until: "18:00", temperature_ceiling: 85 C}
""",
    "field.yaml",
)


def decided(point: str, **readings: float) -> tuple[str, str | None, bool]:
    decision = decide(snapshot(**readings), held(POLICY, point), LADDER, ControlState(point), NOON)
    return decision.wanted, decision.rule, decision.paused


@pytest.mark.parametrize("battery", [90.0, 20.0])
def test_the_held_point_is_used_whatever_rules_that_are_not_urgent_say(battery: float) -> None:
    assert decided("a", battery=battery, temperature=40.0) == ("a", HELD, False)


def test_urgent_rules_and_pauses_go_before_it() -> None:
    assert decided("a", battery=90.0, temperature=90.0)[:2] == ("b", "hot")
    assert decided("a", battery=3.0, temperature=40.0)[1:] == ("empty", True)


@given(st.sampled_from([point.name for point in LADDER.points]), st.floats(0, 100), st.floats(0, 79))
def test_no_hold_leaves_the_ceiling_of_the_policy(point: str, battery: float, celsius: float) -> None:
    wanted, _, _ = decided(point, battery=battery, temperature=celsius)
    risk = next(each.certified_risk for each in LADDER.points if each.name == wanted)
    assert risk is not None
    assert risk <= POLICY.max_accuracy_loss


def test_goals_that_save_wait_and_the_one_that_cools_stays() -> None:
    goals = held(POLICY, "a").goals
    assert (goals.battery_until, goals.temperature_ceiling_c) == (None, 85.0)
    assert (held(POLICY, "a").name, held(POLICY, "a").version) == ("field", 3)
