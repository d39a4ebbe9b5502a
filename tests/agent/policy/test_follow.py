"""Models beside the main one: never less certain than the policy and their own ceiling allow, and down with it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from policy_cases import LADDER, NOON, ladders, point, policies, snapshot, snapshots

from tidegate.models.ladder import Ladder
from tidegate.policy.choice import loss
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.follow import followed, under
from tidegate.policy.hold import held
from tidegate.policy.policy import Bounds, Cheapest, Full, Named, Policy, Use

OTHER = Ladder((point("full", 0.0), point("x", 0.004), point("y", 0.008), point("z", 0.02)))
"""Beside LADDER, whose points are called otherwise but for the full one."""


def put(use: Use, ladder: Ladder = LADDER, other: Ladder = OTHER, ceiling: float = 1.0) -> str:
    policy = Policy("p", 1, ceiling, default=use)
    decision = decide(snapshot(), policy, ladder, ControlState(ladder.full.name), NOON)
    policy = replace(policy, default=use)
    return followed(replace(decision, point=decision.wanted), policy, ladder, other)


def test_what_a_rule_asks_for_is_asked_of_each_ladder() -> None:
    assert put(Full()) == "full"
    assert put(Cheapest()) == "z"
    assert put(Cheapest(), ceiling=0.01) == "y"
    assert put(Bounds(max_accuracy_loss=0.005)) == "x"


def test_a_point_that_a_ladder_lacks_is_the_cheapest_that_is_certified_for_as_much() -> None:
    main = Ladder((point("full", 0.0), point("half", 0.01)))
    assert put(Named("half"), main) == "y"
    assert put(Named("half"), main, Ladder((*OTHER.points[:3], point("half", 0.9)))) == "half", "a name goes first"
    assert put(Named("half"), main, Ladder((point("full", 0.0), point("less", 0.5)))) == "full"


def test_a_main_model_without_a_ladder_keeps_no_other_from_following() -> None:
    assert put(Cheapest(), Ladder((point("full", 0.0),))) == "z"


def test_where_goals_or_a_dwell_have_the_main_model_others_are_too() -> None:
    main = Ladder((point("full", 0.0), point("half", 0.01)))
    policy = Policy("p", 1, 1.0)
    decision = decide(snapshot(), policy, main, ControlState("half"), NOON)
    assert followed(replace(decision, point="half"), policy, main, OTHER) == "y"


def test_a_point_that_is_held_holds_for_all() -> None:
    main = Ladder((point("full", 0.0), point("half", 0.01)))
    policy = Policy("p", 1, 1.0)
    decision = decide(snapshot(), held(policy, "half"), main, ControlState("half"), NOON)
    assert followed(decision, policy, main, OTHER, "half") == "y"


@given(policies(), ladders(), ladders(), snapshots(), st.none() | st.sampled_from([0.0, 0.005, 0.5]))
def test_no_model_loses_more_than_the_policy_and_its_own_ceiling_allow(policy, main, other, seen, ceiling) -> None:
    decision = decide(seen, policy, main, ControlState(main.full.name), NOON)
    own = under(policy, ceiling)
    name = followed(decision, own, main, other)
    lost = loss(other.points[other.rung(name)], other)
    assert lost is not None, "an uncertified point is used by nobody who follows"
    assert lost <= own.max_accuracy_loss
    assert ceiling is None or lost <= max(0.0, ceiling)
