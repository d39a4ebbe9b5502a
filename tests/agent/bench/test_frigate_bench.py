"""What `bench frigate` makes of what it has seen; it is run against an agent in tests/system."""

import pytest

pytest.importorskip("zmq", reason="needs the extra frigate")

from tidegate_bench.frigate.bench import PHASES, Seen, _row, goals


def seen(**what: object) -> Seen:
    return Seen(PHASES[2], **what)  # type: ignore[arg-type] - fields by name


def test_goals_count_what_is_lost_and_late_beyond_kills() -> None:
    first = Seen(PHASES[0], pictures=10, lost=1, without_boxes=2, late=3, kills=2)
    second = seen(worker_mb=[50.0, 60.0, *[70.0] * 20], supervisor_mb=[float(each) for each in range(30)])
    assert [goal.value for goal in goals([first, second])] == [1, 2, 1, 0.0, 60.0]
    assert [goal.met for goal in goals([first, second])] == [False, False, False, True, False]


def test_what_was_not_measured_is_no_zero() -> None:
    assert [goal.value for goal in goals([seen()])] == [0, 0, 0, None, None]
    row = _row(seen())
    assert row["pause s, median"] is None
    assert row["worker MB"] is None
