"""One odd sample sends no urgent rule down, and a real overheating is acted on one sample later at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import LADDER, NOON, snapshot

from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.explain import RuleState, explain
from tidegate.policy.policy import Cheapest, Dwell, Not, Policy, Rule, Side, Threshold
from tidegate.policy.schema import load_policy
from tidegate_drivers.reading import Provenance, Reading, Snapshot

HEAD = "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 1.5 %\nrules:\n"
RULE = "  - {{name: r, when: {when}, use: cheapest, urgent: {urgent}}}\n"


def policy_of(when, urgent="true"):
    return load_policy(HEAD + RULE.format(when=when, urgent=urgent), "p.yaml")


def played(policy, taken, state=None):
    """The decisions on a course of (time, readings)."""
    state = state or ControlState("full")
    for at, values in taken:
        decision = decide(snapshot(at, **values), policy, LADDER, state, NOON)
        yield decision
        state = decision.state


SPIKES = {
    "temperature": ("{temperature: {above: 80 C, until: 72 C}}", 60, 85),
    "a zone's odd zero": ("{temperature: {below: 5 C, until: 10 C}}", 60, 0),
    "battery": ("{battery: {below: 20 %, until: 25 %}}", 64, 0),
    "power": ("{power: {above: 10 W, until: 8 W}}", 4, 200),
    "memory": ("{memory_available: {below: 128 MiB, until: 256 MiB}}", 1 << 30, 1 << 20),
    "memory pressure": ("{memory_pressure: {above: 20 %, until: 5 %}}", 0, 60),
    "cpu": ("{cpu: {above: 90 %, until: 60 %}}", 10, 100),
    "thermal pressure": ("{thermal_pressure: {at_least: serious}}", "nominal", "critical"),
    "throttled": ('{throttled: "yes"}', "no", "yes"),
    "under voltage": ('{under_voltage: "yes"}', "no", "yes"),
    "behind a not": ("{not: {temperature: {below: 80 C, until: 84 C}}}", 60, 90),
    "a word behind a not": ("{not: {power_source: external}}", "external", "battery"),
    "one of several": ("{any: [{temperature: {above: 80 C, until: 72 C}}, {power_source: battery}]}", 60, 85),
}
READINGS = {"a zone's odd zero": "temperature", "behind a not": "temperature", "one of several": "temperature"}
READINGS |= {"a word behind a not": "power_source", "memory": "memory_available", "under voltage": "under_voltage"}


def of(spike):
    when, calm, odd = SPIKES[spike]
    return READINGS.get(spike, spike.replace(" ", "_")), when, calm, odd


@pytest.mark.parametrize("period_s", [0.5, 2.0, 10.0])
@pytest.mark.parametrize("spike", SPIKES)
def test_one_odd_sample_moves_nothing_and_the_second_does(spike, period_s):
    name, when, calm, odd = of(spike)
    course = [calm, calm, odd, calm, calm, calm, odd, odd]
    taken = [(index * period_s, {name: value}) for index, value in enumerate(course)]
    decisions = list(played(policy_of(when), taken))
    assert [decision.point for decision in decisions] == ["full"] * 7 + ["d"]
    assert "waits for a second reading" in decisions[2].reason
    assert decisions[3].reason.startswith("no rule holds")
    assert "waits" not in decisions[3].reason


@pytest.mark.parametrize("spike", SPIKES)
def test_the_same_sample_handed_on_again_is_not_a_second_one(spike):
    name, when, calm, odd = of(spike)
    policy, state, points = policy_of(when), ControlState("full"), []
    for step in range(20):
        now = step / 2
        sampled_at = now - now % 2  # the sensor is read every two seconds, the policy asked twice a second
        value = odd if sampled_at in {4, 12, 14, 16, 18} else calm
        given_value = float(value) if not isinstance(value, str) else value
        unit = snapshot(0.0, **{name: value}).readings[name].unit
        reading = Reading(given_value, unit, sampled_at, Provenance.MEASURED, "test")
        decision = decide(Snapshot(now, {name: reading}), policy, LADDER, state, NOON)
        points.append(decision.point)
        state = decision.state
    assert points == ["full"] * 20
    reading = Reading(given_value, unit, 14.0, Provenance.MEASURED, "test")
    assert decide(Snapshot(14.0, {name: reading}), policy, LADDER, state, NOON).point == "full"


def test_a_real_overheating_that_the_device_can_have_is_acted_on_at_once():
    for period_s, rise_c in ((0.5, 3.0), (2.0, 4.0), (10.0, 8.0), (60.0, 33.0)):
        taken = [(0.0, {"temperature": 80.0 - rise_c / 2}), (period_s, {"temperature": 80.0 + rise_c / 2})]
        assert [d.point for d in played(policy_of(SPIKES["temperature"][0]), taken)] == ["full", "d"]


def test_the_first_sample_ever_is_acted_on():
    (decision,) = played(policy_of(SPIKES["temperature"][0]), [(0.0, {"temperature": 85})])
    assert decision.point == "d"


def test_a_rule_that_is_not_urgent_waits_for_nothing_new():
    taken = [(0.0, {"temperature": 60}), (2.0, {"temperature": 85})]
    assert [d.rule for d in played(policy_of(SPIKES["temperature"][0], "false"), taken)] == [None, "r"]


def test_a_number_from_outside_counts_when_it_comes():
    policy = policy_of("{input: {name: people, above: 3, until: 1}}")
    state = ControlState("full")
    for at, value in ((0.0, 0.0), (2.0, 9.0)):
        reading = Reading(value, snapshot(0.0, cpu=1).readings["cpu"].unit, at, Provenance.MEASURED, "mqtt")
        decision = decide(Snapshot(at, {"input/people": reading}), policy, LADDER, state, NOON)
        state = decision.state
    assert decision.point == "d"


def test_of_a_sensor_that_jumps_between_two_values_the_second_jump_counts():
    taken = [(2.0 * index, {"temperature": 85 if index % 2 else 45}) for index in range(6)]
    rules = [decision.rule for decision in played(policy_of(SPIKES["temperature"][0]), taken)]
    assert rules == [None, None, None, "r", None, "r"]


def test_failed_reads_between_two_odd_samples_do_not_hide_them():
    course = [45, 45, 85, None, 85]
    taken = [(2.0 * index, {"temperature": value}) for index, value in enumerate(course)]
    assert [d.rule for d in played(policy_of(SPIKES["temperature"][0]), taken)] == [None] * 4 + ["r"]


def test_explain_says_what_an_urgent_rule_waits_for():
    policy = policy_of(SPIKES["temperature"][0])
    (calm,) = played(policy, [(0.0, {"temperature": 60})])
    said = explain(snapshot(2.0, temperature=85), policy, LADDER, calm.state, NOON)
    assert said.rules[0].state is RuleState.NOT_HOLDING
    assert said.rules[0].because == "temperature 85 C has jumped and waits for a second reading"
    assert said.sentences[-1] == "'r' would take over when the next reading of temperature says the same."


courses = st.lists(
    st.tuples(st.sampled_from([0.5, 2.0, 10.0, 60.0]), st.none() | st.floats(-20, 130)), min_size=3, max_size=30
)


@given(courses, st.floats(0, 110), st.floats(0, 20), st.sampled_from(Side), st.booleans())
def test_two_samples_beyond_the_limit_are_always_enough(course, enter, gap, side, negated):
    """Whatever came before: an urgent rule is in force at the second sample in a row past its enter value."""
    sign = 1 if side is Side.ABOVE else -1
    leaf = Threshold("rules[0].when", "temperature", side, enter, enter - sign * gap)
    if negated:  # the rule begins where the condition ends
        leaf = Threshold("rules[0].when", "temperature", side, enter + sign * gap, enter)
    condition = Not(leaf) if negated else leaf
    policy = Policy("p", 1, 0.015, (Rule("r", Cheapest(), condition, urgent=True),), dwell=Dwell(5.0, 60.0))
    at, taken = 0.0, []
    for period_s, value in course:
        at += period_s
        taken.append((at, {"temperature": value}))
    past = []
    for _, value in course:
        ended = value is not None and (value <= enter if sign > 0 else value >= enter)
        past.append(ended if negated else value is not None and sign * value > sign * enter)
    decisions = list(played(policy, taken))
    for index in range(1, len(taken)):
        if past[index - 1] and past[index]:
            assert decisions[index].rule == "r"
            assert decisions[index].point == "d"


@given(courses, st.floats(0, 110), st.floats(0, 20), st.sampled_from(Side))
def test_an_urgent_rule_never_holds_where_a_plain_one_would_not(course, enter, gap, side):
    """Waiting for the second sample only ever leaves out, and leaves the way out as it was."""
    sign = 1 if side is Side.ABOVE else -1
    leaf = Threshold("rules[0].when", "temperature", side, enter, enter - sign * gap)
    at, taken = 0.0, []
    for period_s, value in course:
        at += period_s
        taken.append((at, {"temperature": value}))
    rules = [(Rule("r", Cheapest(), leaf, urgent=urgent),) for urgent in (False, True)]
    plain, urgent = ([each.rule for each in played(Policy("p", 1, 0.015, rule), taken)] for rule in rules)
    assert all(one == "r" for one, other in zip(plain, urgent, strict=True) if other == "r")
