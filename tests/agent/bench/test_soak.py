"""What a soak makes of what it has seen, and that it runs."""

import random

import pytest

from tidegate.demo.client import LoadSummary
from tidegate_bench.footprint.sample import Sample
from tidegate_bench.soak import bench
from tidegate_bench.soak.bench import CALM, DISTURBED, SWITCHING, Seen
from tidegate_bench.soak.slope import slope


def test_a_line_is_found_with_its_noise() -> None:
    rng = random.Random(1)
    steady = [(float(at), 50.0 + rng.gauss(0, 0.5)) for at in range(0, 600, 2)]
    grows = [(at, value + at / 3600.0 * 30.0) for at, value in steady]
    flat, rising = slope(steady), slope(grows)
    assert flat is not None
    assert rising is not None
    assert flat.beyond_noise == 0.0
    assert rising.per_hour == pytest.approx(flat.per_hour + 30.0)
    assert 25.0 < rising.beyond_noise < 30.0


def test_two_moments_say_nothing_of_noise() -> None:
    assert slope([]) is None
    assert slope([(0.0, 1.0), (1.0, 2.0)]) is None
    assert slope([(0.0, 1.0), (0.0, 2.0), (1.0, 2.0)]) is None


def turn(p99_ms: float | None, *, failed: int = 0) -> LoadSummary:
    return LoadSummary(served=100, failed=failed, latency_p50_ms=1.0, latency_p99_ms=p99_ms)


def at(second: int, megabytes: float) -> Sample:
    size = int(megabytes * 1e6)
    return Sample(float(second), size, size, size, 0.0, 10 * second, 1000 * second)


def test_failures_of_all_turns_count_and_switches_are_held_against_calm_alone() -> None:
    seen = Seen(
        {
            CALM: [turn(10.0), turn(12.0)],
            SWITCHING: [turn(22.0)],
            DISTURBED: [turn(900.0, failed=2), turn(None, failed=1)],
        },
        supervisor=[at(second, 50.0) for second in range(10)],
        worker=[at(second, 70.0 + second) for second in range(10)],
    )
    figures = bench._figures(seen)
    assert [goal.value for goal in figures.goals] == [3, 2.0, 0.0, 3600.0]
    assert [goal.met for goal in figures.goals] == [False, False, True, False]
    supervisor = next(row for row in figures.rows if row.get("process") == "supervisor")
    assert supervisor["wakeups per s"] == 10.0
    assert supervisor["written mb per day"] == pytest.approx(86.4)


def test_what_was_not_measured_is_no_zero() -> None:
    figures = bench._figures(Seen())
    assert [goal.value for goal in figures.goals] == [0, None, None, None]
    rows = [row for row in figures.rows if "process" in row]
    assert [row["rss mb"] for row in rows] == [None, None]


@pytest.mark.slow
@pytest.mark.broker
def test_a_short_one_loses_no_request() -> None:
    figures = bench.run(minutes=1.0, quick=True, progress=lambda _: None)
    assert figures.goals[0].value == 0
    done = {str(row["disturbance"]) for row in figures.rows if "disturbance" in row}
    assert {"switch", "push", "worker killed"} <= done
