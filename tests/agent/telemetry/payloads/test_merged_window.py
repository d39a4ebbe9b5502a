"""Windows merged into one: sums add up, means lie between the extremes, and unknown stays unknown."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemetry_windows import windows

from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.merged_window import merged
from tidegate.telemetry.payloads.window import Window, parse_window

SUMMED = ("requests", "failed", "turned_away", "samples")
several = st.lists(windows, min_size=1, max_size=5)
BARE = Window(100.0, 10.0, "full", 7, "serving", 0, 0)


@given(several)
def test_counts_and_joules_add_up_and_unknown_stays_unknown(found: list[Window]) -> None:
    one = merged(found)
    assert one.windows == len(found)
    assert one.s == pytest.approx(sum(each.s for each in found))
    for name in SUMMED:
        known = [getattr(each, name) for each in found if getattr(each, name) is not None]
        assert getattr(one, name) == (sum(known) if known else None)
    joules = [each.energy_j for each in found if each.energy_j is not None]
    assert (one.energy_j is None) == (not joules)
    assert one.energy_j is None or one.energy_j == pytest.approx(sum(joules), abs=0.01)
    for name in ("p50_ms", "p95_ms", "skip", "total_j"):
        assert (getattr(one, name) is None) == all(getattr(each, name) is None for each in found)


@given(several)
def test_means_lie_between_the_extremes(found: list[Window]) -> None:
    one = merged(found)
    assert one.readings.keys() == {name for each in found for name in each.readings}
    assert one.low.keys() == one.high.keys()
    for name, low in one.low.items():
        mean = one.readings[name]
        assert not isinstance(mean, str)
        # To five digits, as it is rounded.
        assert low - abs(low) * 1e-4 <= mean <= one.high[name] + abs(one.high[name]) * 1e-4
        told = [each.readings[name] for each in found if name in each.readings]
        assert (low, one.high[name]) == (min(told, key=float), max(told, key=float))


@given(several, several)
def test_in_two_steps_it_comes_to_the_same(first: list[Window], second: list[Window]) -> None:
    at_once, stepwise = merged([*first, *second]), merged([merged(first), merged(second)])
    for name in ("windows", "at", "point", *SUMMED, "shadow", "low", "high", "models"):
        assert getattr(stepwise, name) == getattr(at_once, name), name
    for name, seconds in at_once.points.items():
        assert stepwise.points[name] == pytest.approx(seconds, abs=0.01)


@given(several)
def test_a_merged_window_travels_like_any_other(found: list[Window]) -> None:
    assert parse_window(to_json(merged(found).to_document())) == merged(found)


def test_means_are_weighted_by_time_and_the_median_by_requests() -> None:
    hot = replace(BARE, s=30.0, requests=1, p50_ms=9.0, p95_ms=9.0, readings={"temperature": 80.0})
    cool = replace(BARE, s=10.0, requests=9, p50_ms=4.0, p95_ms=5.0, readings={"temperature": 40.0}, point="int8")
    one = merged([hot, cool, replace(BARE, s=20.0)])
    assert (one.readings, one.low, one.high) == (
        {"temperature": 70.0},
        {"temperature": 40.0},
        {"temperature": 80.0},
    )
    assert (one.p50_ms, one.p95_ms, one.requests) == (4.5, 9.0, 10)
    assert one.points == {"full": 50.0, "int8": 10.0}


def test_of_words_the_last_one_counts() -> None:
    sources = [replace(BARE, readings={"power_source": word}) for word in ("external", "battery")]
    assert merged(sources).readings == {"power_source": "battery"}
    assert not merged(sources).low
