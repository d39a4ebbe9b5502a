"""The brown-out guard as a function: what two losses put off, what brings it back, and how a ladder is climbed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation_cases import LADDER

from tidegate.policy.brown_out import (
    CLIMB_S,
    LOSSES,
    TRY_AGAIN_S,
    Guard,
    Losses,
    Supply,
    after_loss,
    is_better,
    observe,
    put_off,
)
from tidegate.policy.choice import choose
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import Bounds, Cheapest, Dwell, Full, Named, Policy
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit

POINTS = LADDER.points
NAMES = [point.name for point in POINTS]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LOW = Supply(percent=30.0, external=False, volts={"voltage/battery": 6.6})
BARE = Policy("bare", 1, 0.2, dwell=Dwell(0.0, 0.0))


def seen(
    at: float, percent: float | None = None, source: str | None = None, volts: float | None = None
) -> Snapshot:
    told = {
        "battery": (percent, Unit.PERCENT),
        "power_source": (source, Unit.NAME),
        "voltage/battery": (volts, Unit.VOLT),
    }
    return Snapshot(
        at,
        {
            name: Reading(value, unit, at, Provenance.MEASURED, "test")
            for name, (value, unit) in told.items()
            if value is not None
        },
    )


def lost(point: str, times: int, supply: Supply = LOW) -> Guard:
    guard = Guard()
    for _ in range(times):
        guard = after_loss(guard.losses, point, supply)
    return guard


def settled(guard: Guard) -> Guard:
    """The same without a climb."""
    first = seen(0.0, volts=LOW.volts["voltage/battery"])
    return Guard(observe(guard, first).losses if guard.losses else {}, guard.supply)


def test_one_loss_may_be_a_pulled_plug_and_the_second_puts_the_point_off_with_all_that_draw_more() -> None:
    assert put_off(settled(lost("int8", LOSSES - 1)), POINTS) == {}
    off = put_off(settled(lost("int8", LOSSES)), POINTS)
    assert set(off) == set(NAMES[: NAMES.index("int8") + 1])
    assert off["full"] == (
        "int8 is put off: the power was lost 2 times at it "
        "(battery 30 %, no external power, voltage/battery 6.6 V)"
    )


@pytest.mark.parametrize(
    ("snapshot", "better"),
    [
        (seen(0, percent=45.0), True),
        (seen(0, percent=44.0), False),
        (seen(0, source="external"), True),
        (seen(0, source="battery"), False),
        (seen(0, volts=6.8), True),
        (seen(0, volts=6.79), False),
        (seen(0), False),
    ],
)
def test_only_a_supply_that_proves_better_brings_it_back(snapshot: Snapshot, better: bool) -> None:
    after = observe(settled(lost("full", LOSSES)), snapshot)
    assert (put_off(after, POINTS) == {}) is better


def test_where_nothing_is_known_of_the_supply_it_is_tried_again_after_a_day_and_once() -> None:
    guard = settled(lost("full", LOSSES, Supply()))
    for at in range(0, int(TRY_AGAIN_S), 600):
        guard = observe(guard, seen(float(at)))
        assert "full" in put_off(guard, POINTS)
    guard = observe(guard, seen(TRY_AGAIN_S + 600))
    assert put_off(guard, POINTS) == {}
    assert "full" in put_off(settled(after_loss(guard.losses, "full", Supply())), POINTS)


@pytest.mark.parametrize(
    ("supply", "now", "days"),
    [
        (LOW, {"percent": 40.0, "source": "battery"}, 7),
        (Supply(percent=60.0), {"percent": 60.0}, 7),
        (Supply(), {}, 1),
    ],
)
def test_a_supply_that_never_proves_better_is_tried_again_at_longer_and_longer_intervals(
    supply: Supply, now: dict[str, Any], days: int
) -> None:
    guard, at = lost("full", LOSSES, supply), 0.0
    waited_days = []
    for _ in range(7):
        began = at
        while put_off(guard, POINTS):
            at += 86_400.0 / 4
            guard = replace(observe(guard, seen(at, **now)), climbs=False)
        waited_days.append(round((at - began) / 86_400.0))
        guard = replace(after_loss(guard.losses, "full", supply), climbs=False, seen_s=at)
    doubled = [min(30, days * 2**tries) for tries in range(7)]
    assert waited_days == doubled


def test_a_sensor_that_could_prove_it_better_is_waited_for_longer() -> None:
    guard = observe(settled(lost("full", LOSSES)), seen(0.0, percent=30.0))
    guard = observe(guard, seen(6 * TRY_AGAIN_S, percent=30.0))
    assert "full" in put_off(guard, POINTS)


def test_after_a_loss_the_first_answer_is_the_cheapest_and_points_open_one_by_one() -> None:
    state = ControlState(LADDER.cheapest.name, guard=lost("full", 1))
    rungs = []
    for second in range(0, int(len(POINTS) * CLIMB_S) + 1, 10):
        decision = decide(seen(float(second), percent=30.0), BARE, LADDER, state, NOON)
        rungs.append(NAMES.index(decision.point))
        assert rungs[-1] >= len(POINTS) - 1 - second // CLIMB_S
        state = decision.state
    assert rungs[0] == len(POINTS) - 1
    assert rungs == sorted(rungs, reverse=True)
    assert rungs[-1] == 0


def test_a_point_in_force_that_is_put_off_is_left_without_a_dwell_and_the_reason_is_told() -> None:
    slow = Policy("slow", 1, 0.2, dwell=Dwell(600.0, 600.0))
    state = ControlState("full", switched_at=0.0, guard=settled(lost("full", LOSSES)))
    decision = decide(seen(1.0, percent=30.0), slow, LADDER, state, NOON)
    assert decision.point == NAMES[1]
    assert decision.urgent
    assert "full is put off: the power was lost 2 times at it" in decision.reason


@pytest.mark.parametrize(
    ("use", "point", "fits"),
    [
        (Full(), "int8-skip-16", True),
        (Named("mixed"), "int8-skip-16", True),
        (Named("int8-skip-40"), "int8-skip-40", True),
        (Cheapest(), NAMES[-1], True),
        (Bounds(max_latency_ms=50.0), "int8-skip-16", True),
        (Bounds(max_accuracy_loss=0.008), NAMES[-1], False),
    ],
)
def test_a_use_that_is_put_off_means_the_best_that_is_left(use: object, point: str, fits: bool) -> None:
    off = put_off(settled(lost("int8", LOSSES)), POINTS)
    choice = choose(use, LADDER, BARE, off)  # type: ignore[arg-type]  # each is a Use
    assert (choice.point, choice.fits) == (point, fits)


@pytest.mark.parametrize("booked", range(len(NAMES)))
@pytest.mark.parametrize("gone", range(1, len(NAMES)))
def test_what_draws_more_than_a_booked_point_is_off_whether_or_not_that_one_is_in_use(
    booked: int, gone: int
) -> None:
    """A policy that allows less loss, an engine that refuses a point, drift: none makes the supply better."""
    guard = replace(settled(lost(NAMES[booked], LOSSES)), order=LADDER.names)
    points = [point for number, point in enumerate(POINTS) if number != gone]
    off = put_off(guard, points)
    assert set(off) == {point.name for point in points[:-1] if NAMES.index(point.name) <= booked}


def test_two_losses_at_the_cheapest_point_shut_all_others() -> None:
    assert set(put_off(settled(lost(NAMES[-1], LOSSES)), POINTS)) == set(NAMES[:-1])
    assert put_off(settled(lost(NAMES[0], LOSSES)), POINTS[:1]) == {}, "a ladder of one point has no other"


def test_a_battery_too_full_to_prove_better_is_not_waited_for_for_ever() -> None:
    on_mains = Supply(percent=95.0, external=True)
    guard = settled(lost("full", LOSSES, on_mains))
    for at in range(0, int(TRY_AGAIN_S), 3600):
        guard = observe(guard, seen(float(at), percent=100.0, source="external"))
        assert "full" in put_off(guard, POINTS)
    guard = observe(guard, seen(TRY_AGAIN_S + 3600, percent=100.0, source="external"))
    assert put_off(guard, POINTS) == {}


def test_a_regulated_supply_known_by_its_volts_alone_is_tried_again_after_a_day() -> None:
    guard = settled(lost("full", LOSSES, Supply()))
    for at in range(0, int(TRY_AGAIN_S), 3600):
        guard = observe(guard, seen(float(at), volts=5.1))
        assert "full" in put_off(guard, POINTS)
    assert put_off(observe(guard, seen(TRY_AGAIN_S + 3600, volts=5.1)), POINTS) == {}


SUPPLIES = st.builds(
    Supply,
    st.none() | st.floats(0, 100),
    st.none() | st.booleans(),
    st.dictionaries(st.sampled_from(["voltage/battery", "voltage/in"]), st.floats(1, 30)),
)
GUARDS = st.builds(
    Guard,
    st.dictionaries(st.sampled_from([*NAMES, "gone"]), st.builds(Losses, st.integers(1, 5), SUPPLIES)),
    SUPPLIES,
    st.booleans(),
)
SNAPSHOTS = st.builds(
    seen,
    st.floats(0, 1e6),
    st.none() | st.floats(0, 100),
    st.sampled_from([None, "battery", "external"]),
    st.none() | st.floats(1, 30),
)


@given(GUARDS, st.lists(SNAPSHOTS, max_size=5), st.integers(1, len(POINTS)))
def test_the_cheapest_point_always_stays_and_what_is_off_draws_most(
    guard: Guard, snapshots: list[Snapshot], count: int
) -> None:
    for snapshot in snapshots:
        guard = observe(guard, snapshot)
    points = POINTS[:count]
    off = put_off(guard, points)
    assert set(off) == set(NAMES[: len(off)])
    assert len(off) < len(points)


@given(GUARDS, SNAPSHOTS, st.sampled_from(NAMES), st.sampled_from([Full(), Cheapest(), Named("int8")]))
def test_no_decision_is_for_a_point_that_is_put_off(
    guard: Guard, snapshot: Snapshot, point: str, default: Full | Cheapest | Named
) -> None:
    policy = Policy("any", 1, 0.2, default=default, dwell=Dwell(60.0, 60.0))
    decision = decide(snapshot, policy, LADDER, ControlState(point, switched_at=0.0, guard=guard), NOON)
    assert decision.state.guard is not None
    assert decision.point not in put_off(decision.state.guard, POINTS)


@given(SUPPLIES)
def test_a_supply_is_not_better_than_itself(supply: Supply) -> None:
    assert not is_better(supply, supply)


def test_volts_under_the_load_that_failed_are_no_measure() -> None:
    """At rest they are higher at once, with the same battery."""
    guard = lost("full", LOSSES, Supply(volts={"voltage/battery": 5.1}))
    guard = observe(guard, seen(0.0, volts=6.6))
    assert "full" in put_off(guard, POINTS)
    guard = observe(guard, seen(3600.0, volts=6.7))
    assert "full" in put_off(guard, POINTS)
    guard = observe(guard, seen(7200.0, volts=6.8))
    assert put_off(guard, POINTS) == {}
