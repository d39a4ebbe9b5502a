"""What holds of the controller with goals, whatever it has learned and whatever the sensors say."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import LADDER, NOON, goals, snapshot

from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.learned import Learned, Prior
from tidegate.policy.policy import Assumption, Cheapest, Dwell, Goals, NoFit, Policy, Rule, Side, Threshold

temperatures = st.none() | st.floats(-40, 150)
numbers = st.none() | st.floats(0, 200) | st.just(math.inf)


@st.composite
def noisy(draw):
    """Readings that jump about, and come and go, once every two seconds or with gaps."""
    at, taken = 0.0, []
    for _ in range(draw(st.integers(5, 25))):
        at += draw(st.sampled_from([2.0, 2.0, 2.0, 30.0, 500.0]))
        taken.append(
            snapshot(
                at,
                temperature=draw(temperatures),
                battery=draw(st.none() | st.floats(0, 100)),
                power=draw(numbers),
                request_rate=draw(numbers),
                latency=draw(numbers),
                power_source=draw(st.sampled_from([None, "battery", "external"])),
            )
        )
    return taken


def policy_with(wanted, dwell=None):
    hot = Threshold("rules[0].when", "temperature", Side.ABOVE, 90.0, 80.0)
    rules = (Rule("hot", Cheapest(), hot, urgent=True),)
    return Policy("p", 1, 0.015, rules, dwell=dwell or Dwell(4.0, 60.0), no_fit=NoFit.REFUSE, goals=wanted)


def played(policy, taken):
    state = ControlState("full")
    for snap in taken:
        decision = decide(snap, policy, LADDER, state, NOON)
        yield snap.at, state, decision
        state = decision.state


@given(noisy(), goals)
def test_switches_are_bounded_for_any_noise(taken, wanted):
    policy = policy_with(wanted)
    ups, downs, hurries, span_s = 0, 0, 0, taken[-1].at - taken[0].at
    for _, before, decision in played(policy, taken):
        if decision.changes(before):
            up = LADDER.rung(decision.point) < LADDER.rung(before.point)
            ups, hurries = ups + up, hurries + (not up and decision.urgent)
            downs += not up and not decision.urgent
    assert ups <= span_s / policy.dwell.up_s + 1
    assert downs <= span_s / policy.dwell.down_s + 1
    # Each hurry ends lower; what it fell must have been climbed before, one rung a dwell.
    assert hurries <= ups + len(LADDER.points)


@given(noisy(), goals)
def test_nothing_learned_leads_over_the_ceiling_or_off_the_numbers(taken, wanted):
    for _, _, decision in played(policy_with(wanted), taken):
        assert decision.point != "e"
        learned = decision.state.learned
        if learned is None:
            assert not wanted.any
            continue
        values = (*_line(learned.power), *_line(learned.heat), learned.slowdown.mean, learned.spent_j)
        assert all(math.isfinite(value) for value in values)
        assert decision.limit.rate_hz is None or decision.limit.rate_hz >= 0


def _line(line):
    return (line.offset, line.slope, line.oo, line.os, line.ss)


@st.composite
def steady(draw):
    """A device that has been watched for a while: what it draws and how warm it gets, with a little noise."""
    ambient_c, per_w = draw(st.floats(0, 40)), draw(st.floats(2, 8))
    taken = []
    for step in range(30):
        power_w = draw(st.floats(2, 8))
        taken.append(
            snapshot(
                10.0 * step,
                temperature=ambient_c + per_w * power_w,
                power=power_w,
                request_rate=50.0,
                battery=80.0,
                power_source="battery",
            )
        )
    return taken


@settings(max_examples=100)
@given(steady(), st.floats(-15, 5), st.floats(0.5, 30), st.floats(40, 90))
def test_hotter_never_wants_a_costlier_point_under_a_ceiling(taken, below_c, hotter_c, ceiling_c):
    policy = policy_with(Goals(temperature_ceiling_c=ceiling_c))
    state = [decision.state for _, _, decision in played(policy, taken)][-1]
    wanted = []
    # Around the ceiling, where it decides: far from it all points are fine, or none is.
    for celsius in (ceiling_c + below_c, ceiling_c + below_c + hotter_c):
        snap = snapshot(
            taken[-1].at + 10.0,
            temperature=celsius,
            power=5.0,
            request_rate=50.0,
            battery=80.0,
            power_source="battery",
        )
        wanted.append(LADDER.rung(decide(snap, policy, LADDER, state, NOON).wanted))
    assert wanted[0] <= wanted[1]


def test_the_battery_goal_takes_cheaper_points_the_less_there_is():
    policy = policy_with(Goals(battery_until=NOON.time().replace(hour=20)), Dwell(0.0, 0.0))
    rungs = []
    for percent in (100.0, 60.0, 20.0):
        state = ControlState("full", learned=Learned.from_prior(Prior(idle_w=1.0, battery_j=150e3)))
        for step in range(40):
            point = LADDER.points[LADDER.rung(state.point)]
            draw_w = 1.0 + 20.0 * state.learned.answer_j(point)
            snap = snapshot(10.0 * step, battery=percent, power=draw_w, request_rate=20.0, power_source="battery")
            state = decide(snap, policy, LADDER, state, NOON).state
        rungs.append(LADDER.rung(state.point))
    assert rungs[0] == 0
    assert rungs[0] < rungs[1] < rungs[2]


def test_a_missing_temperature_under_a_ceiling_is_what_on_missing_says():
    rest = {"power": 3.0, "request_rate": 10.0, "battery": 90.0, "power_source": "external"}
    for assumption, point in ((Assumption.HOT, "d"), (Assumption.COOL, "full"), (Assumption.IGNORE, "full")):
        policy = replace(
            policy_with(Goals(temperature_ceiling_c=70.0)), rules=(), on_missing={"temperature": assumption}
        )
        decision = decide(snapshot(0.0, **rest), policy, LADDER, ControlState("full"), NOON)
        assert decision.wanted == point
