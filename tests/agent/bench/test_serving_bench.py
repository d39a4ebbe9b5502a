"""`tidegate bench serving` on the worker's own endpoint: every way is answered, goals judge large pictures."""

from pathlib import Path

import pytest

from tidegate_bench.engine.networks import SUBJECTS, keep_subject
from tidegate_bench.serving import bench, strangers
from tidegate_bench.serving.ways import SHARED, STREAM, WAYS, Way, picture, request_of


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where resnet20 lies."""
    directory = tmp_path_factory.mktemp("kept")
    keep_subject("resnet20", directory / "resnet20")
    return directory


def test_every_way_is_answered_and_timed(kept: Path) -> None:
    found = bench.measured("resnet20", kept, 1, lambda _: None, block_ns=1)
    assert [each.way for each in found] == [*WAYS, STREAM]
    assert all(each.answer_us > 0 and each.bare_us > 0 for each in found)
    assert [*bench.goals(found)] == []


def test_a_client_misses_nothing_beside_hundreds_of_strangers(kept: Path) -> None:
    found = strangers.harmless(kept, "resnet20", SUBJECTS["resnet20"].shape, 300, lambda _: None)
    assert [each.number for each in found] == [0, *[300] * (len(found) - 1)]
    assert len(found) == 6
    assert [each.kind for each in found if each.missed] == []
    assert all(goal.met for goal in strangers.goals(found))


def test_answers_that_are_missed_miss_the_goal() -> None:
    (missed, _) = strangers.goals([strangers.Crowd("idle", 10, 5, 1, 1.0, 1.0, 1.0)])
    assert (missed.value, missed.met) == (1, False)


def test_a_missed_goal_is_a_missed_goal() -> None:
    def one(way: Way, ratio: float) -> bench.Measured:
        return bench.Measured("resnet18", way, 100 * ratio, 100, ratio, ratio)

    (goal,) = bench.goals([one(Way(SHARED, "FP32"), 1.04), one(Way("JSON", "FP32"), 9.0)])
    assert (goal.target, goal.met) == (1.03, False)


def test_a_picture_travels_as_bytes_or_not_at_all() -> None:
    sizes = {
        way.name: len(request_of(way, picture(SUBJECTS["resnet18"].shape, way.datatype), 1000)) for way in WAYS
    }
    assert sizes["raw socket FP32"] == 3 * 224 * 224 * 4
    assert sizes["shared memory FP32"] < 1000
    assert sizes["binary UINT8"] < 3 * 224 * 224 + 1000 < sizes["JSON UINT8"] < sizes["JSON FP32"]
