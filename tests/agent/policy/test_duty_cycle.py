"""When the goals have a device sleep: only where it can't stay awake, and so that the battery lasts."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import LADDER, snapshot

from tidegate.documents import DocumentError
from tidegate.policy.charge import Charge
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.duty_cycle import LEAST_ASLEEP_S, LEAST_AWAKE_S, asleep_next, awake
from tidegate.policy.learned import Learned, Prior
from tidegate.policy.policy import DutyCycle, Goals, Panel, Policy
from tidegate.policy.schema.layers import load_policy

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CYCLE = DutyCycle(asleep_w=0.1, period_s=1800.0)
GOALS = Goals(time(20), 5.0, duty_cycle=CYCLE)
BATTERY_J = 20 * 3600.0
IDLE_W = 1.5


def learned(percent: float | None, *, hz: float = 2.0) -> Learned:
    charge = Charge(BATTERY_J / 100, percent, None if percent is None else 0.0)
    known = Learned.from_prior(Prior(idle_w=IDLE_W, battery_j=BATTERY_J))
    return replace(known, charge=charge, at=0.0, rate_hz=hz, base_w=IDLE_W, seen_s=3600.0)


def test_what_lasts_awake_never_sleeps() -> None:
    assert awake(LADDER.points, GOALS, learned(95.0), NOON) is None


@pytest.mark.parametrize("goals", [replace(GOALS, duty_cycle=None), Goals(duty_cycle=CYCLE)])
def test_without_leave_or_a_battery_to_last_there_is_no_sleep(goals: Goals) -> None:
    assert awake(LADDER.points, goals, learned(20.0), NOON) is None


def test_a_battery_that_is_not_known_is_no_reason_to_sleep() -> None:
    assert awake(LADDER.points, GOALS, learned(None), NOON) is None


@given(st.floats(0.0, 100.0), st.floats(0.0, 20.0), st.integers(0, 23), st.sampled_from([None, 4.0, 20.0]))
def test_the_mean_draw_is_what_the_battery_leaves(
    percent: float, hz: float, hour: int, panel_w: float | None
) -> None:
    goals = replace(GOALS, panel=None if panel_w is None else Panel(panel_w))
    now = NOON.replace(hour=hour)
    known = learned(percent, hz=hz)
    plan = awake(LADDER.points, goals, known, now)
    if plan is None:
        return
    assert 0.0 <= plan.share < 1.0
    offers = {each.point.name: each for each in known.offers(LADDER.points, hz, IDLE_W)}
    mean_w = CYCLE.asleep_w + plan.share * (offers[plan.point.name].draw_w - CYCLE.asleep_w)
    until_s = (goals.battery_until.hour - hour) % 24 * 3600.0 or 86400.0
    if panel_w is None and plan.share > 0:
        assert mean_w * until_s <= max(0.0, percent - 5.0) / 100 * BATTERY_J * (1 + 1e-9)
    # No other point makes more of a joule.
    gain = {name: each.right_hz / (each.draw_w - CYCLE.asleep_w) for name, each in offers.items()}
    assert gain[plan.point.name] == pytest.approx(max(gain.values()))


@given(st.floats(0.0, 0.999))
def test_a_cycle_keeps_the_share_and_neither_part_is_too_short(share: float) -> None:
    plan = replace(awake(LADDER.points, GOALS, learned(20.0), NOON), share=share)
    woke_s = 1000.0
    waited_s = next(s for s in range(0, 10**6, 10) if asleep_next(plan, CYCLE, woke_s, woke_s + s, NOON))
    sleeping = asleep_next(plan, CYCLE, woke_s, woke_s + waited_s, NOON)
    slept_s = (sleeping.wake_at - NOON).total_seconds()
    assert waited_s >= LEAST_AWAKE_S
    assert LEAST_ASLEEP_S - 1e-3 <= slept_s <= CYCLE.period_s
    assert sleeping.alone
    if LEAST_AWAKE_S / CYCLE.period_s < share:
        assert (waited_s - 10) / (waited_s - 10 + slept_s) <= share + 1e-6


def test_decisions_sleep_and_wake_in_turns_and_say_why() -> None:
    policy = Policy("node", 1, 0.015, goals=GOALS)
    state = ControlState("full", learned=learned(20.0))
    asleep, said = [], ""
    for at in range(0, 7200, 10):
        now = NOON + timedelta(seconds=at)
        seen = snapshot(at + 10.0, battery=20.0, power=IDLE_W, request_rate=2.0)
        decision = decide(seen, policy, LADDER, state, now)
        if decision.asleep and not (state.sleeping is not None):
            said = decision.reason
        state = decision.state
        asleep.append(decision.asleep)
        assert decision.paused is decision.asleep
    assert not asleep[0]
    turns = sum(one is not other for one, other in itertools.pairwise(asleep))
    assert 4 <= turns <= 12
    assert "awake" in said
    assert "% of the time" in said
    assert "asleep until" in said


@pytest.mark.parametrize(
    ("goals", "says"),
    [
        ("{duty_cycle: {asleep: 80 mW}}", "nothing to sleep for"),
        ('{battery_until: "20:00", duty_cycle: {asleep: 80 mW, period: 1 min}}', "wakes too often"),
        (
            '{battery_until: "20:00", duty_cycle: {asleep: 80 mW, period: 40 d}}',
            "longer than any battery has to last",
        ),
        ('{battery_until: "20:00", duty_cycle: {period: 30 min}}', "asleep"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(goals: str, says: str) -> None:
    text = f"tidegate: 1\nname: node\nversion: 1\nmax_accuracy_loss: 1 %\ngoals: {goals}\n"
    with pytest.raises(DocumentError, match=says):
        load_policy(text, "node.yaml")


def test_a_policy_that_allows_it_is_read() -> None:
    text = "tidegate: 1\nname: node\nversion: 1\nmax_accuracy_loss: 1 %\n"
    goals = 'goals: {battery_until: "20:00", duty_cycle: {asleep: 80 mW, period: 20 min}}\n'
    assert load_policy(text + goals, "node.yaml").goals.duty_cycle == DutyCycle(0.08, 1200.0)
