"""What shadow runs showed under a policy: counted from its first moment, and told a bounded number of times."""

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tidegate.messages import ShadowCount
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.policy.drift import DriftTest
from tidegate.supervisor.control.compared import GROWTH, Compared
from tidegate.supervisor.control.drift_record import DriftRecord

LADDER = open_bundle(profiles_directory() / "bundles" / "digits").ladder
POINT = LADDER.cheapest


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=300))
def test_what_was_told_is_never_far_behind_and_seldom_told_anew(runs: list[tuple[int, bool]]) -> None:
    now = told = Compared(1)
    times = 0
    for seen, disagrees in runs:
        now = now.with_count(ShadowCount("p", seen, int(disagrees)))
        if now.is_news(told):
            told, times = now, times + 1
        for new, old in zip(now.counts["p"], told.counts["p"], strict=True):
            assert new <= old * (1 + GROWTH)
    seen, disagreed = now.counts["p"]
    # Each report is of a quarter more, or of one more while that is more than a quarter.
    assert times <= 10 + (math.log(seen) + math.log(max(disagreed, 1))) / math.log(1 + GROWTH)


def test_another_policy_begins_anew_and_a_restart_does_not(tmp_path: Path) -> None:
    drift = DriftRecord(tmp_path, "b", LADDER, lambda _: None)
    drift.under(5)
    drift.note(ShadowCount(POINT.name, 40, 1))
    drift.note(ShadowCount(LADDER.full.name, 40, 0))
    drift.note(ShadowCount("gone", 40, 0))
    (told,) = drift.compared
    test = DriftTest.of(POINT)
    assert test is not None
    assert (told.point, told.seen, told.disagreed) == (POINT.name, 40, 1)
    assert abs(told.allowed - test.bound) < 1e-6
    drift.save()
    again = DriftRecord(tmp_path, "b", LADDER, lambda _: None)
    again.under(5)
    assert again.compared == drift.compared
    again.under(6)
    assert again.compared == ()
    again.note(ShadowCount(POINT.name, 1, 0))
    assert again.compared[0].seen == 1
    assert DriftRecord(tmp_path, "another bundle", LADDER, lambda _: None).compared == ()


def test_what_is_forgotten_is_told_no_more(tmp_path: Path) -> None:
    drift = DriftRecord(tmp_path, "b", LADDER, lambda _: None)
    drift.under(5)
    drift.note(ShadowCount(POINT.name, 40, 1))
    drift.forget(POINT.name)
    assert drift.compared == ()


def test_what_demotes_a_point_is_told_at_once(tmp_path: Path) -> None:
    drift = DriftRecord(tmp_path, "b", LADDER, lambda _: None)
    drift.under(5)
    seen = 0
    while POINT.name not in drift.demotions:
        seen += 1
        drift.note(ShadowCount(POINT.name, 1, seen % 2))
    assert drift.compared[0].seen == seen
