"""What holds for `decide` whatever the policy, the ladder and the readings."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from policy_cases import LADDER, NOON, conditions, ladders, policies, snapshot, snapshots, uses

from tidegate.policy.conditions import Evaluation
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import Bounds, Cheapest, Dwell, Full, Named, NoFit, Not, Policy, Rule, Side, Threshold

states = st.builds(
    ControlState,
    st.sampled_from(["full", *"abcde", "gone"]),
    st.none() | st.floats(-1e6, 2e6),
    st.frozensets(st.sampled_from(["rules[0].when", "rules[1].when", "rules[0].when[0]"])),
    st.dictionaries(st.sampled_from(["rules[0].when", "rules[1].when"]), st.floats(-1e6, 2e6)),
)


def within(ladder, ceiling):
    """The names that certificates allow under a ceiling, worked out apart from the code under test."""
    certified = [p for p in ladder.points[1:] if p.certificate is not None and p.certificate.alpha <= ceiling]
    return [ladder.full.name, *(p.name for p in certified)]


RESTLESS = tuple(
    Rule(name, use, Threshold(f"rules[{index}].when", "temperature", Side.ABOVE, enter, enter - 5), urgent=urgent)
    for index, (name, use, enter, urgent) in enumerate(
        [("hot", Cheapest(), 80.0, True), ("warm", Cheapest(), 60.0, False), ("mild", Named("b"), 40.0, False)]
    )
)


@st.composite
def runs(draw):
    """A policy and a sequence of snapshots with ascending times: any at all, or one that switches often."""
    any_at_all = draw(st.booleans())
    policy = draw(policies())
    if not any_at_all:
        policy = replace(policy, rules=RESTLESS, default=Full())
    at, taken = 0.0, []
    for _ in range(draw(st.integers(2, 12))):
        at += draw(st.sampled_from([0.1, 0.5, 1.0, 3.5, 70.0]))
        restless = snapshot(at, temperature=draw(st.sampled_from([20, 38, 45, 58, 65, 78, 85])))
        taken.append(draw(snapshots(at)) if any_at_all else restless)
    return policy, taken


def played(policy, ladder, taken, state):
    """The decisions over a sequence, each from the state of the one before."""
    for snap in taken:
        decision = decide(snap, policy, ladder, state, NOON + timedelta(seconds=snap.at))
        yield snap, state, decision
        state = decision.state


@given(snapshots(), policies(), ladders(), states)
def test_any_input_gets_a_decision_with_a_reason_on_the_ladder(snap, policy, ladder, state):
    decision = decide(snap, policy, ladder, state, NOON)
    names = {point.name for point in ladder.points}
    assert decision.point in names
    assert decision.wanted in names
    assert decision.state.point == decision.point
    assert decision.reason
    assert bool(decision.held_back) == (decision.point != decision.wanted)


@given(snapshots(), policies(), ladders(), states)
def test_the_same_input_gives_the_same_decision(snap, policy, ladder, state):
    assert decide(snap, policy, ladder, state, NOON) == decide(snap, policy, ladder, state, NOON)


@given(runs())
def test_no_two_switches_within_the_dwell_unless_urgent_and_down(run):
    policy, taken = run
    # An uncertified point is left without waiting as soon as a certified one fits; that has its own test.
    policy = replace(policy, no_fit=NoFit.REFUSE)
    start = ControlState(within(LADDER, policy.max_accuracy_loss)[-1])
    last = None
    for snap, before, decision in played(policy, LADDER, taken, start):
        if not decision.changes(before):
            continue
        down = LADDER.rung(decision.point) > LADDER.rung(before.point)
        if last is not None and not (decision.urgent and down):
            assert snap.at - last >= (policy.dwell.down_s if down else policy.dwell.up_s)
        last = snap.at


@given(runs(), ladders())
def test_no_sequence_leads_over_the_ceiling(run, ladder):
    policy, taken = run
    names = within(ladder, policy.max_accuracy_loss)
    for _, _, decision in played(policy, ladder, taken, ControlState(ladder.cheapest.name)):
        uncertified = not decision.fits and policy.no_fit is NoFit.CHEAPEST_UNCERTIFIED
        assert decision.point in names or (uncertified and decision.point == ladder.cheapest.name)


@given(runs())
def test_up_goes_one_allowed_rung_at_a_time(run):
    policy, taken = run
    policy = replace(policy, no_fit=NoFit.REFUSE)
    names = within(LADDER, policy.max_accuracy_loss)
    for _, before, decision in played(policy, LADDER, taken, ControlState(names[-1])):
        assert names.index(decision.point) >= names.index(before.point) - 1


@given(
    st.floats(30, 90),
    st.floats(0, 20),
    st.lists(st.floats(0, 120), min_size=1, max_size=30),
    st.sampled_from(Side),
)
def test_a_leave_value_holds(enter, gap, values, side):
    sign = 1 if side is Side.ABOVE else -1
    leave = enter - sign * gap
    condition = Threshold("rules[0].when.temperature", "temperature", side, enter, leave)
    policy = Policy("p", 1, 1.0, (Rule("r", Cheapest(), condition),))
    taken = [snapshot(float(index), temperature=value) for index, value in enumerate(values)]
    held = False
    for snap, _, decision in played(policy, LADDER, taken, ControlState("full")):
        value = snap.number("temperature")
        held = sign * value > sign * (leave if held else enter)
        assert (decision.rule == "r") is held


@given(st.floats(-50, 150), st.floats(-50, 150), st.floats(0, 90), st.booleans(), states)
def test_hotter_never_picks_a_costlier_point(one, other, enter, urgent, state):
    # A path of its own: what the condition remembers is the same for both, all else equal.
    condition = Threshold("rules[0].when", "temperature", Side.ABOVE, enter, enter - 5)
    for use in (Cheapest(), Bounds(max_accuracy_loss=0.01)):
        policy = Policy("p", 1, 0.02, (Rule("hot", use, condition, urgent=urgent),), Full(), Dwell(5, 60))
        cool, hot = sorted((one, other))
        wanted = [
            LADDER.rung(decide(snapshot(10.0, temperature=value), policy, LADDER, state, NOON).wanted)
            for value in (cool, hot)
        ]
        assert wanted[0] <= wanted[1]
        taken = [
            LADDER.rung(decide(snapshot(10.0, temperature=value), policy, LADDER, state, NOON).point)
            for value in (cool, hot)
        ]
        assert taken[0] <= taken[1]


@given(conditions, uses, snapshots(), states)
def test_a_condition_and_its_negation_are_opposite_or_both_unknown(when, use, snap, state):
    condition = when("rules[0].when")
    evaluation = Evaluation(Policy("p", 1, 1.0, (Rule("r", use, condition),)), snap, state, NOON)
    truth, negated = evaluation.truth(condition), evaluation.truth(Not(condition))
    assert negated is (None if truth is None else not truth)
