"""Every result of a pushed policy in every state before it: what `reported` says then, and what is told."""

from itertools import product
from typing import get_args

import pytest

from tidegate.policy.schema import load_policy
from tidegate.supervisor.events.event import EventKind
from tidegate.supervisor.updates.outcome import (
    POLICY,
    REASON_LIMIT,
    Accepted,
    Deferred,
    Rejected,
    Repeated,
    RolledBack,
    UpdateResult,
    event_of,
)
from tidegate.supervisor.updates.pushed_policy import Running
from tidegate.supervisor.updates.state import UpdatesState, after
from tidegate.telemetry.payloads.reported import PolicyState
from tidegate.trust.refusal import Refusal

LOCAL = Running(load_policy("tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 5 %\n", "p"), "ab", "local")
EARLIER = PolicyState(4, "cd", "refused", "it expired")

# Each result; what `reported` says after it of a push that is not in force (`before`: what it said before); and
# what is told: kind, text, details and source of the event.
before = object()
CASES: list[tuple[UpdateResult, object, tuple[EventKind, str, dict[str, object], str] | None]] = [
    (
        Accepted(5, "ef", "night"),
        None,
        (
            EventKind.POLICY,
            "night version 5 is in force, unsigned",
            {"version": 5, "state": "accepted", "signed_by": []},
            "accepted",
        ),
    ),
    (
        Accepted(5, "ef", "night", ("ops", "qa")),
        None,
        (
            EventKind.POLICY,
            "night version 5 is in force, signed by ops, qa",
            {"version": 5, "state": "accepted", "signed_by": ["ops", "qa"]},
            "accepted",
        ),
    ),
    (
        Rejected(5, "ef", "no YAML", Refusal.INVALID),
        PolicyState(5, "ef", "refused", "no YAML", refusal="invalid"),
        (
            EventKind.POLICY,
            "pushed policy version 5 refused: no YAML",
            {"version": 5, "state": "refused", "refusal": "invalid"},
            "refused",
        ),
    ),
    (
        RolledBack(5, "ef", "harm", "night"),
        PolicyState(5, "ef", "rolled_back", "harm", "night"),
        (
            EventKind.POLICY,
            "pushed policy version 5 rolled back: harm",
            {"version": 5, "state": "rolled_back"},
            "rolled_back",
        ),
    ),
    (
        Deferred(5, "ef", "full disk", "night"),
        PolicyState(5, "ef", "trial", "full disk", "night"),
        (EventKind.FAULT, "pushed policy version 5 has to wait: full disk", {"version": 5}, "push waits"),
    ),
    (Repeated(5, "ef"), before, None),
    (Repeated(5, "ef", "harm"), PolicyState(5, "ef", "rolled_back", "harm"), None),
]


def test_the_table_has_every_result() -> None:
    assert {type(result) for result, _, _ in CASES} == set(get_args(UpdateResult))


@pytest.mark.parametrize(
    ("refused", "case"), list(product([None, EARLIER], CASES)), ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("on_trial", [False, True])
def test_each_result_in_each_state(
    refused: PolicyState | None,
    case: tuple[UpdateResult, object, tuple[EventKind, str, dict[str, object], str] | None],
    on_trial: bool,
) -> None:
    result, reported, told = case
    state = UpdatesState(LOCAL, on_trial, refused, accepted=2, results=7)
    then = after(state, result)
    assert then.refused == (refused if reported is before else reported), "EARLIER is of another version"
    assert (then.running, then.on_trial) == (LOCAL, on_trial), "only who adopts a policy says what runs"
    assert (then.accepted, then.results) == (3 if isinstance(result, Accepted) else 2, 8)
    event = event_of(result, POLICY)
    assert told == (None if event is None else (event.kind, event.text, event.details, event.source))


def test_a_refused_push_of_the_policy_in_force_is_forgotten_when_it_is_pushed_rightly() -> None:
    state = after(UpdatesState(LOCAL), Rejected(5, "ef", "not signed", Refusal.NOT_SIGNED))
    assert after(state, Repeated(5, "ef")).refused is None
    assert after(state, Repeated(5, "other")).refused == state.refused


def test_refusals_are_counted_by_kind() -> None:
    state = UpdatesState(LOCAL)
    for kind in (Refusal.EXPIRED, Refusal.NOT_SIGNED, Refusal.EXPIRED):
        state = after(state, Rejected(5, "ef", "no", kind))
    state = after(after(state, RolledBack(6, "ef", "harm")), Accepted(7, "ef", "night"))
    assert state.refusals == {Refusal.EXPIRED: 2, Refusal.NOT_SIGNED: 1}


LONG = "x" * (2 * REASON_LIMIT)


@pytest.mark.parametrize("result", [Rejected(5, "ef", LONG, Refusal.INVALID), RolledBack(5, "ef", LONG)])
def test_a_long_reason_is_cut_where_it_travels(result: Rejected | RolledBack) -> None:
    reported = after(UpdatesState(LOCAL), result).refused
    assert reported is not None
    assert len(reported.reason) <= REASON_LIMIT
    event = event_of(result, POLICY)
    assert event is not None
    assert event.text.endswith(reported.reason)
