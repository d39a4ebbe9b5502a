"""Where the next worker starts: at the same point, unless workers keep dying young there."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor.worker.restart_rule import (
    BACKOFF_S,
    EARLY_DEATHS_CONDEMN,
    EARLY_DEATHS_REFUSE,
    EARLY_DEATHS_TO_CHEAPEST,
    ENDS_TO_CHEAPEST,
    ENDS_WITHIN_S,
    HOLD_S,
    LONGEST_HOLD_S,
    STABLE_S,
    RestartState,
    answered,
    ended,
    first_start,
    moved,
)

POINTS = st.sampled_from(["full", "int8", "skip"])
SECONDS = st.floats(0, 10 * STABLE_S)
CHEAPEST = "skip"


def die(state: RestartState, lived_s: float, now: float = 0.0) -> RestartState:
    """The end of a worker, long after the one before it."""
    last = state.ends[-1] if state.ends else 0.0
    return ended(state, lived_s, now or last + ENDS_WITHIN_S, CHEAPEST)


# What happens to workers: a switch to a point, an answer after so long at it, a death after so long a life.
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just(moved), POINTS),
        st.tuples(st.just(answered), SECONDS),
        st.tuples(st.just(die), SECONDS),
    ),
    max_size=40,
)


def after(state: RestartState, happenings: list[tuple[object, object]]) -> RestartState:
    for change, argument in happenings:
        state = change(state, argument)  # type: ignore[operator]
    return state


@given(HAPPENINGS, SECONDS)
def test_the_next_worker_starts_at_the_same_point_or_at_a_proven_one(
    happenings: list[tuple[object, object]], lived_s: float
) -> None:
    before = after(first_start("full"), happenings)
    then = die(before, lived_s)
    assert then.restarts == before.restarts + 1
    assert then.proven_point == before.proven_point
    young = lived_s < STABLE_S
    condemned = young and before.early_deaths + 1 >= EARLY_DEATHS_CONDEMN
    assert then.early_deaths == (before.early_deaths + 1 if young else 0)
    if then.early_deaths >= EARLY_DEATHS_TO_CHEAPEST:
        assert then.point == CHEAPEST
        assert then.held(then.ends[-1])
    else:
        assert then.point == (before.proven_point if condemned else before.point)


@given(HAPPENINGS)
def test_pauses_grow_with_early_deaths_and_have_a_bound(happenings: list[tuple[object, object]]) -> None:
    state = after(first_start("full"), happenings)
    assert state.pause_s in BACKOFF_S
    assert die(state, 0.0).pause_s >= state.pause_s
    assert die(state, STABLE_S).pause_s == 0.0


@given(HAPPENINGS)
def test_only_a_point_that_was_served_for_long_is_proven(happenings: list[tuple[object, object]]) -> None:
    state = after(first_start("full"), happenings)
    assert answered(state, STABLE_S) == state, "not yet"
    proven = answered(state, STABLE_S + 0.1)
    assert (proven.proven_point, proven.early_deaths) == (state.point, 0)


def test_a_point_at_which_workers_die_young_is_left_for_the_proven_one_and_may_be_tried_again() -> None:
    state = moved(answered(first_start("full"), 2 * STABLE_S), "skip")
    state = die(state, 1.0)
    assert state.point == "skip", "once may be chance"
    state = die(state, 1.0)
    assert (state.point, state.pause_s) == ("full", BACKOFF_S[2])
    state = answered(moved(state, "skip"), 2 * STABLE_S)
    assert (state.point, state.proven_point, state.early_deaths) == ("skip", "skip", 0)


def test_workers_that_keep_dying_young_end_at_the_cheapest_point_and_then_refuse() -> None:
    state = first_start("full")
    for deaths in range(1, EARLY_DEATHS_REFUSE + 1):
        state = die(state, 1.0)
        assert (state.point == CHEAPEST) is (deaths >= EARLY_DEATHS_TO_CHEAPEST)
        assert state.refuses is (deaths >= EARLY_DEATHS_REFUSE)
    assert not answered(state, 2 * STABLE_S).refuses


def test_workers_that_live_a_while_and_keep_ending_are_held_at_the_cheapest_point_too() -> None:
    state, now = first_start("full"), 1000.0
    for _ in range(ENDS_TO_CHEAPEST):
        assert state.point == "full"
        now += 2 * STABLE_S
        state = ended(state, 2 * STABLE_S, now, CHEAPEST)
    assert state.point == CHEAPEST
    assert state.held(now + HOLD_S - 1)
    assert not state.held(now + HOLD_S + 1)


def test_each_hold_that_did_not_help_is_longer_than_the_last_up_to_a_bound() -> None:
    state, lengths, now = first_start("full"), [], 0.0
    for _ in range(12 * ENDS_TO_CHEAPEST):
        now += 1.0
        before, state = state, ended(state, 1.0, now, CHEAPEST)
        if state.holds > before.holds:
            lengths.append(state.held_until - now)
    assert lengths == sorted(lengths)
    assert lengths[:2] == [HOLD_S, 2 * HOLD_S]
    assert lengths[-1] == LONGEST_HOLD_S
