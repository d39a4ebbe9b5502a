"""A rule that flaps is noticed after a few flaps, and the cheaper point held; nothing else is held up."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import LADDER, NOON, policies, snapshot, snapshots

from tidegate.models.ladder import Ladder
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.explain import explain
from tidegate.policy.flap import Flapping, HoldDown
from tidegate.policy.flap_damping import HELD_S
from tidegate.policy.policy import (
    AnyOf,
    Cheapest,
    Dwell,
    Equals,
    Full,
    Goals,
    Named,
    Not,
    Pause,
    Policy,
    Rule,
    Side,
    Threshold,
)

P95_MS = (72.0, 49.0, 28.0, 20.0, 14.0)
RUNGS = Ladder(  # full, a, b, c, d
    tuple(
        replace(point, figures=replace(point.figures, latency_p95_ms=p95_ms))
        for point, p95_ms in zip(LADDER.points, P95_MS, strict=False)
    )
)
NAMES = [point.name for point in RUNGS.points]
STEP_S = 10.0
DAY = 4320
"""Steps of a simulated day of twelve hours."""
CALM = {"power_source": "external", "battery": 80.0, "request_rate": 10.0}


def leaf(reading, side, enter, leave, for_s=0.0, rule=0):
    return Threshold(f"rules[{rule}].when", reading, side, enter, leave, for_s)


def above(reading, enter, leave, for_s=0.0, rule=0):
    return leaf(reading, Side.ABOVE, enter, leave, for_s, rule)


def below(reading, enter, leave, for_s=0.0, rule=0):
    return leaf(reading, Side.BELOW, enter, leave, for_s, rule)


def told(reading, *values):
    """A plant whose reading is a value of each point, from full to cheapest, seen at once."""
    return lambda _state: lambda point: {reading: values[NAMES.index(point)]}


def warming(span_s, *equilibria):
    """A plant that warms up and cools down towards an equilibrium of each point."""

    def plant(state):
        state.setdefault("celsius", equilibria[-1])

        def read(point):
            gap = equilibria[NAMES.index(point)] - state["celsius"]
            state["celsius"] += gap * min(1.0, STEP_S / span_s)
            return {"temperature": state["celsius"]}

        return read

    return plant


def played(policy, plant, steps=DAY, *, forgetful=False):
    """The decisions of a day on a plant, each with the state before it; a forgetful controller damps nothing."""
    read, state = plant({}), ControlState("full")
    for index in range(steps):
        values = CALM | read(state.point)
        decision = decide(snapshot(STEP_S * index, **values), policy, RUNGS, state, NOON)
        yield state, decision
        state = replace(decision.state, flapping=None) if forgetful else decision.state


def switches(policy, plant, steps=DAY, *, forgetful=False):
    day = played(policy, plant, steps, forgetful=forgetful)
    return sum(decision.changes(before) for before, decision in day)


def policy_of(*rules, default=None, dwell=None, goals=None):
    return Policy("p", 1, 0.015, rules, default or Full(), dwell=dwell or Dwell(5.0, 60.0), goals=goals or Goals())


LATENCIES = told("latency", *P95_MS)
DRAWS = told("power", 6.0, 5.0, 3.5, 3.0, 2.0)
CASES = {
    "latency": (policy_of(Rule("r", Cheapest(), above("latency", 65, 40))), LATENCIES),
    "urgent": (policy_of(Rule("r", Cheapest(), above("latency", 65, 40), urgent=True)), LATENCIES),
    "with for": (policy_of(Rule("r", Cheapest(), above("latency", 65, 40, 60.0))), LATENCIES),
    "without dwell": (policy_of(Rule("r", Cheapest(), above("latency", 65, 40)), dwell=Dwell(0, 0)), LATENCIES),
    "power": (policy_of(Rule("r", Cheapest(), above("power", 5.5, 3.2))), DRAWS),
    "a pause": (policy_of(Rule("r", Pause(), above("power", 5.5, 3.2))), DRAWS),
    "upwards": (policy_of(Rule("r", Full(), below("power", 3.0, 5.5)), default=Cheapest()), DRAWS),
    "behind a not": (policy_of(Rule("r", Cheapest(), Not(below("latency", 65, 65)))), LATENCIES),
    "one of several": (
        policy_of(
            Rule("r", Cheapest(), AnyOf((above("latency", 65, 40), Equals("x", "power_source", "battery"))))
        ),
        LATENCIES,
    ),
    "two that chase each other": (
        policy_of(
            Rule("down", Cheapest(), above("latency", 65, 40)),
            Rule("up", Full(), below("latency", 45, 60, rule=1)),
            default=Named("b"),
        ),
        LATENCIES,
    ),
    "a goal and a rule": (
        policy_of(
            Rule("up", Full(), below("latency", 40, 45)), default=Named("b"), goals=Goals(latency_p95_ms=60.0)
        ),
        LATENCIES,
    ),
    "memory": (
        policy_of(Rule("r", Cheapest(), below("memory_available", 100e6, 120e6))),
        told("memory_available", 90e6, 110e6, 130e6, 140e6, 150e6),
    ),
    "clients that ask as fast as they are answered": (
        policy_of(Rule("r", Cheapest(), below("request_rate", 20, 30))),
        told("request_rate", 16.0, 24.0, 42.0, 60.0, 80.0),
    ),
    "a battery that sags under load": (
        policy_of(Rule("r", Cheapest(), below("battery", 20, 22))),
        told("battery", 19.0, 21.0, 23.0, 23.0, 24.0),
    ),
    "heat": (policy_of(Rule("r", Cheapest(), above("temperature", 60, 55))), warming(300, 75, 70, 60, 55, 45)),
    "heat, urgent": (
        policy_of(Rule("r", Cheapest(), above("temperature", 60, 52), urgent=True)),
        warming(120, 75, 70, 60, 55, 45),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_that_flaps_is_stopped_after_a_few_flaps(case):
    policy, plant = CASES[case]
    day = list(played(policy, plant))
    of_the_day = sum(decision.changes(before) for before, decision in day)
    held = [decision for _, decision in day if decision.flapping]
    assert of_the_day <= 80
    assert sum(decision.changes(before) for before, decision in day[DAY // 2 :]) <= 40
    assert "has ended and begun again" in held[0].flapping
    assert all(decision.reason.endswith(decision.flapping) for decision in held)
    an_hour = DAY // 12
    assert 12 * switches(policy, plant, an_hour, forgetful=True) > 3 * of_the_day


def test_what_is_kept_is_said_and_tried_again_ever_later():
    policy, plant = CASES["latency"]
    day = list(played(policy, plant))
    spans, since = [], None
    for index, (_, decision) in enumerate(day):
        if decision.flapping and since is None:
            since = index
        elif not decision.flapping and since is not None:
            spans.append((index - since) * STEP_S)
            since = None
    assert spans[:4] == [HELD_S, 2 * HELD_S, 4 * HELD_S, 8 * HELD_S]
    waiting = next(
        decision for _, decision in day if decision.flapping and decision.held_back and not decision.rule
    )
    assert waiting.point == "b"
    assert waiting.held_back[-1].startswith("b is kept for another ")
    assert waiting.held_back[-1].endswith(" s (rule 'r' flaps)")
    values = CALM | {"latency": 28.0}
    said = explain(snapshot(700.0, **values), policy, RUNGS, waiting.state, NOON).sentences
    assert any(
        "rule 'r' has ended and begun again 3 times in a row because of its own switches, so b is kept" in s
        for s in said
    )


def test_other_conditions_are_tried_before_the_time_is_over():
    policy, plant = CASES["latency"]
    held = next(decision for _, decision in played(policy, plant) if decision.flapping)
    (hold,) = held.state.flapping.hold_downs.values()
    for values, still in (
        (CALM, True),
        (CALM | {"power_source": "battery"}, False),
        (CALM | {"request_rate": 4}, False),
    ):
        for at, expected in ((hold.since + 0.4 * HELD_S, True), (hold.since + 0.6 * HELD_S, still)):
            after = decide(snapshot(at, latency=28.0, **values), policy, RUNGS, held.state, NOON)
            assert bool(after.flapping) is expected


OUTSIDE = {
    "a plug that comes and goes": (
        policy_of(Rule("r", Cheapest(), Equals("rules[0].when", "power_source", "battery"))),
        lambda index: {"power_source": "battery" if index % 12 < 6 else "external"},
    ),
    "bursts of load": (
        policy_of(Rule("r", Cheapest(), above("request_rate", 20, 15))),
        lambda index: {"request_rate": 30.0 if index % 40 < 14 else 5.0},
    ),
    "a job every ten minutes": (
        policy_of(Rule("r", Cheapest(), above("cpu", 85, 60))),
        lambda index: {"cpu": 95.0 if index % 60 < 20 else 10.0},
    ),
    "the sun": (
        policy_of(Rule("r", Cheapest(), above("temperature", 80, 72), urgent=True)),
        lambda index: {"temperature": 66.0 + 22.0 * (1 - abs(index % 200 - 100) / 100)},
    ),
    "charge": (
        policy_of(Rule("r", Cheapest(), below("battery", 20, 25))),
        lambda index: {"battery": 10.0 + abs(index % 200 - 100) / 2},
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_rule_that_something_else_brings_and_takes_is_left_alone(case):
    policy, outside = OUTSIDE[case]
    state, changes = ControlState("full"), 0
    for index in range(2000):
        decision = decide(snapshot(STEP_S * index, **(CALM | outside(index))), policy, RUNGS, state, NOON)
        assert not decision.flapping
        changes += decision.changes(state)
        state = decision.state
    assert changes > 20


_uses = st.sampled_from([Full(), Cheapest(), Named("a"), Named("b"), Named("c"), Pause()])


@st.composite
def rules_on(draw, reading, tables):
    """Up to three rules whose values lie within what a plant shows."""
    rules, low, high = [], min(tables) - 1, max(tables) + 1
    for index in range(draw(st.integers(1, 3))):
        least, most = sorted((draw(st.floats(low, high)), draw(st.floats(low, high))))
        side = draw(st.sampled_from(Side))
        enter, leave = (most, least) if side is Side.ABOVE else (least, most)
        condition = leaf(reading, side, enter, leave, draw(st.sampled_from([0.0, 0.0, 30.0])), index)
        rules.append(Rule(f"r{index}", draw(_uses), condition, urgent=draw(st.booleans())))
    return tuple(rules)


@st.composite
def plants(draw):
    """A policy and the plant that it moves: each point has its value, seen at once or slowly."""
    table = sorted(draw(st.lists(st.floats(20, 100), min_size=5, max_size=5)), reverse=True)
    reading = draw(st.sampled_from(["latency", "power", "temperature", "cpu"]))
    plant = told(reading, *table) if reading != "temperature" else warming(draw(st.floats(30, 900)), *table)
    dwell = draw(st.sampled_from([Dwell(5.0, 60.0), Dwell(0.0, 0.0), Dwell(2.0, 20.0)]))
    return policy_of(*draw(rules_on(reading, table)), default=draw(_uses), dwell=dwell), plant


@settings(max_examples=8, deadline=None)
@given(plants())
def test_switches_a_day_are_bounded_for_any_policy_on_any_such_plant(drawn):
    policy, plant = drawn
    assert switches(policy, plant, DAY // 4) <= 150


def hold_of(point, at):
    return Flapping(hold_downs={"x": HoldDown("x", point, 3, at - 1.0, at + 1e4)})


@given(snapshots(), policies(), st.sampled_from(NAMES), st.sampled_from(NAMES), st.none() | st.floats(0, 1e6))
def test_what_is_kept_never_holds_a_step_down_back(snap, policy, kept, point, switched_at):
    state = ControlState(point, switched_at)
    free = decide(snap, policy, RUNGS, state, NOON)
    held = decide(snap, policy, RUNGS, replace(state, flapping=hold_of(kept, snap.at)), NOON)
    assert held.wanted == free.wanted
    assert held.urgent == free.urgent
    assert NAMES.index(held.point) >= NAMES.index(free.point)
    assert bool(held.held_back) == (held.point != held.wanted)


@given(snapshots(), policies(), st.floats(0, 1e6))
def test_an_urgent_rule_goes_straight_down_whatever_is_kept(snap, policy, at):
    hot = Rule("hot", Cheapest(), above("temperature", 80, 72), urgent=True)
    policy = replace(policy, rules=(replace(hot, when=above("temperature", 80, 72)), *policy.rules[1:]))
    snap = replace(snap, readings={**snap.readings, **snapshot(snap.at, temperature=85).readings})
    decision = decide(snap, policy, RUNGS, ControlState("full", at, flapping=hold_of("b", snap.at)), NOON)
    assert decision.rule == "hot"
    assert decision.point == decision.wanted
