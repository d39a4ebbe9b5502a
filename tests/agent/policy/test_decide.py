"""Decisions on the example policy of the design, with their reasons word for word."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from policy_cases import LADDER, NOON, point, snapshot

from tidegate.models.ladder import Ladder
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import Bounds, Named, NoFit, Policy
from tidegate.policy.schema import load_policy
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit

TEXT = """
tidegate: 1
name: field-camera
version: 7
max_accuracy_loss: 1.5 %
default: {use: full}
rules:
  - name: overheating
    when: {any: [{temperature: {above: 80 C, until: 72 C}}, {thermal_pressure: {at_least: serious}}]}
    use: cheapest
    urgent: true
  - name: battery low
    when: {all: [{battery: {below: 20 %, until: 25 %}}, {power_source: battery}]}
    use: {max_accuracy_loss: 1.5 %, max_power: 3 W}
  - name: battery saver
    when: {all: [{battery: {below: 50 %, until: 55 %}}, {power_source: battery}]}
    use: {max_accuracy_loss: 0.5 %}
  - name: busy
    when: {cpu: {above: 90 %, until: 60 %, for: 10 s}}
    use: b
  - name: night
    between: ["22:00", "06:00"]
    use: cheapest
dwell: {down: 5 s, up: 60 s}
on_missing: {battery: assume_low, temperature: assume_hot}
"""
POLICY = load_policy(TEXT, "field-camera.yaml")
CALM = {"temperature": 40, "battery": 90, "power_source": "battery", "thermal_pressure": "nominal", "cpu": 10}


def at(time_s, state, policy=POLICY, ladder=LADDER, now=NOON, **values):
    return decide(snapshot(time_s, **(CALM | values)), policy, ladder, state, now)


@pytest.mark.parametrize(
    ("values", "rule", "wanted", "reason"),
    [
        ({}, None, "full", "no rule holds"),
        ({"temperature": 83}, "overheating", "d", "temperature 83 C is above 80 C"),
        (
            {"temperature": 83, "thermal_pressure": "critical"},
            "overheating",
            "d",
            "temperature 83 C is above 80 C and thermal pressure is critical, worse than serious",
        ),
        ({"thermal_pressure": "serious"}, "overheating", "d", "thermal pressure is serious"),
        ({"battery": 18}, "battery low", "b", "battery 18 % is below 20 % on battery power"),
        ({"battery": 18, "power_source": "external"}, None, "full", "no rule holds"),
        ({"battery": 40}, "battery saver", "a", "battery 40 % is below 50 % on battery power"),
        ({"temperature": None}, "overheating", "d", "temperature is unavailable, assumed hot"),
        ({"battery": None}, "battery low", "b", "battery is unavailable, assumed low on battery power"),
        ({"power_source": None}, None, "full", "no rule holds; power source is unavailable, ignored"),
    ],
)
def test_first_rule_that_holds_wins_and_says_why(values, rule, wanted, reason):
    decision = at(0, ControlState("full"), **values)
    assert (decision.rule, decision.wanted, decision.reason) == (rule, wanted, reason)
    assert decision.fits


def test_stale_is_a_state_of_its_own():
    old = Reading(40.0, Unit.CELSIUS, 0.0, Provenance.MEASURED, "test", max_age_s=10.0)
    snap = Snapshot(11.0, {**snapshot(11.0, **CALM).readings, "temperature": old})
    assert decide(snap, POLICY, LADDER, ControlState("full"), NOON).reason == "temperature is stale, assumed hot"


def test_urgent_jumps_down_within_the_dwell_and_comes_back_rung_by_rung():
    down = at(1.0, ControlState("full", switched_at=0.0), temperature=85)
    assert (down.point, down.urgent, down.held_back) == ("d", True, ())

    held = at(10.0, down.state, temperature=75)
    assert held.reason == "temperature 75 C rose above 80 C and is not back at 72 C yet"
    assert held.point == "d"

    waits = at(49.0, held.state, temperature=72)
    assert (waits.rule, waits.wanted, waits.point) == (None, "full", "d")
    assert waits.held_back == ("stays at d for another 12 s (dwell up 60 s)",)

    first = at(61.0, waits.state)
    assert first.point == "c"
    assert first.held_back == ("goes to c first, one rung at a time towards full",)
    assert at(62.0, first.state).point == "c"
    assert at(121.0, first.state).point == "b"


def test_down_without_urgency_goes_rung_by_rung_after_the_dwell():
    state = ControlState("full", switched_at=0.0)
    waits = at(4.0, state, battery=18)
    assert waits.held_back == ("stays at full for another 1 s (dwell down 5 s)",)
    first = at(5.0, waits.state, battery=18)
    assert first.point == "a"
    assert at(10.0, first.state, battery=18).point == "b"


def test_for_waits_and_begins_anew_after_a_dip():
    state = ControlState("full")
    for time_s, cpu, rule in [(0, 95, None), (9, 95, None), (9.5, 80, None), (10, 95, None), (20, 95, "busy")]:
        decision = at(time_s, state, cpu=cpu)
        assert decision.rule == rule
        state = decision.state
    assert decision.reason == "cpu 95 % is above 90 % for 10 s"
    assert at(21, state, cpu=70).reason == "cpu 70 % rose above 90 % and is not back at 60 % yet"
    assert at(21, state, cpu=60).rule is None


def test_a_reading_that_returns_is_judged_by_its_last_real_crossing():
    hot = at(0, ControlState("full"), temperature=85)
    lost = at(1, hot.state, temperature=None)
    assert at(2, lost.state, temperature=75).rule == "overheating"

    lost = at(1, at(0, ControlState("full"), temperature=75).state, temperature=None)
    assert lost.rule == "overheating"
    back = at(2, lost.state, temperature=75)
    assert back.reason == "temperature 75 C is back, but not for 30 s yet"
    assert at(31, back.state, temperature=75).rule is None


@pytest.mark.parametrize(("hour", "rule"), [(21, None), (22, "night"), (0, "night"), (5, "night"), (6, None)])
def test_between_reads_the_clock_of_the_zone_it_is_given(hour, rule):
    zone = timezone(timedelta(hours=-7))
    decision = at(0, ControlState("full"), now=datetime(2026, 6, 1, hour, 0, tzinfo=zone))
    assert decision.rule == rule
    if rule:
        assert decision.reason == "between 22:00 and 06:00"


def test_an_unknown_figure_is_within_no_bound():
    ladder = Ladder((point("full", 0.0, 100.0), point("c", 0.015, None)))
    decision = at(0, ControlState("full"), ladder=ladder, battery=18)
    assert not decision.fits
    assert decision.reason == (
        "battery 18 % is below 20 % on battery power; "
        "no certified point is within 1.5 % loss and 3 W; requests are refused"
    )
    assert decision.wanted == "c"


def test_no_fit_may_take_the_cheapest_uncertified_point_and_leaves_it_at_once():
    policy = replace(POLICY, no_fit=NoFit.CHEAPEST_UNCERTIFIED, rules=(), default=Bounds(max_power_w=0.1))
    decision = at(0, ControlState("d"), policy=policy)
    assert (decision.point, decision.fits) == ("e", False)
    assert decision.reason.endswith("uses the cheapest point, 'e' (not certified)")
    back = at(0.1, decision.state, policy=replace(policy, default=Bounds(max_power_w=2.5)))
    assert (back.point, back.fits) == ("d", True)


def test_a_tighter_ceiling_comes_before_the_dwell():
    tight = Policy("tight", 8, 0.005)
    decision = at(0.1, ControlState("d", switched_at=0.0), policy=tight)
    assert decision.point == "a"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("e", "no rule holds; point 'e' is not certified within 1 %; requests are refused"),
        ("x", "no rule holds; point 'x' is not on the ladder; requests are refused"),
    ],
)
def test_a_named_point_must_be_certified_and_there(name, reason):
    decision = at(0, ControlState("full"), policy=Policy("p", 1, 0.01, default=Named(name)))
    assert (decision.fits, decision.reason, decision.wanted) == (False, reason, "b")


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        (Bounds(max_accuracy_loss=0.01), "b"),
        (Bounds(max_accuracy_loss=0.01, max_power_w=6.0), "a"),
        (Bounds(max_power_w=6.0), "a"),
        (Bounds(max_latency_ms=20.0), "full"),
        (Bounds(max_memory_bytes=1 << 20), "full"),
    ],
)
def test_a_loss_bound_alone_is_spent_and_a_cost_bound_met_at_the_least_loss(bounds, wanted):
    assert at(0, ControlState("full"), policy=Policy("p", 1, 0.02, default=bounds)).wanted == wanted


def test_a_point_that_left_the_ladder_is_replaced_at_once():
    decision = at(0.1, ControlState("gone", switched_at=0.0))
    assert (decision.point, decision.held_back) == ("full", ())


def test_a_switch_on_an_earlier_boots_clock_counts_from_now():
    decision = at(10.0, ControlState("d", switched_at=1e6))
    assert decision.held_back == ("stays at d for another 60 s (dwell up 60 s)",)
    assert at(70.0, decision.state).point == "c"
