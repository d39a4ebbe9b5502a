"""What a stream leaves out: where nothing moves, what comes too often, and what nobody has taken."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.frame_queue import FrameQueue
from tidegate.worker.streams.motion import MotionGate, change, pooled
from tidegate.worker.streams.pace import Pace


def still(seed: int = 0) -> np.ndarray:
    """A picture with a camera's noise of each moment."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(120, 12, (3, 96, 128)), 0, 255).astype(np.uint8)


def test_noise_does_not_move_and_somebody_in_the_picture_does() -> None:
    gate = MotionGate(0.05)
    assert gate.passes(still(0))
    assert not any(gate.passes(still(seed)) for seed in range(1, 20))
    walker = still(30)
    walker[:, 30:60, 40:52] = 230
    assert gate.passes(walker)
    assert not gate.passes(walker)
    assert gate.passes(still(31)), "gone again"


def test_what_changes_slowly_passes_in_time() -> None:
    gate = MotionGate(0.05)
    passed = [gate.passes(np.full((1, 32, 32), value, np.uint8)) for value in range(60)]
    assert passed.count(True) == 1 + 59 // 13


def test_floats_are_shares_of_one() -> None:
    gate = MotionGate(0.05)
    assert gate.passes(np.zeros((1, 8, 8), np.float32))
    assert not gate.passes(np.full((1, 8, 8), 0.04, np.float32))
    assert gate.passes(np.full((1, 8, 8), 0.06, np.float32))


@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70))
def test_cells_are_means_of_any_size(channels: int, height: int, width: int) -> None:
    values = np.full((channels, height, width), 7, np.uint8)
    cells = pooled(values)
    assert cells.shape == (min(16, height), min(16, width))
    assert np.array_equal(cells, np.full_like(cells, 7))
    assert change(cells, cells + 2) == 2.0


@given(st.lists(st.floats(0.001, 3.0), min_size=1, max_size=80), st.sampled_from([0.5, 5.0, 30.0]))
def test_no_more_frames_than_the_rate_and_no_debts(gaps_s: list[float], per_second: float) -> None:
    pace, now_s, taken = Pace(per_second), 100.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        wait_s = pace.wait_s(now_s)
        due = pace.take(now_s)
        assert due == (wait_s == 0.0)
        taken += [now_s] * due
    for first in range(len(taken)):
        for last in range(first + 1, len(taken)):
            assert last - first <= (taken[last] - taken[first]) * per_second + 1 + 1e-6


def test_a_camera_a_little_late_keeps_its_rate() -> None:
    pace = Pace(10.0)
    assert sum(pace.take(number * 0.1 + (0.01 if number % 2 else 0.0)) for number in range(100)) >= 95


def frame(name: str) -> Frame:
    return Frame(np.zeros((1, 2, 2), np.uint8), name)


def test_the_oldest_gives_way_to_the_newest() -> None:
    frames = FrameQueue(2)
    assert [frames.put_newest(frame(name)) for name in "abcd"] == [False, False, True, True]
    frames.close()
    assert [each.origin for each in (frames.get(), frames.get()) if each is not None] == ["c", "d"]
    assert frames.get() is None


def test_who_can_wait_waits_and_nothing_is_lost() -> None:
    frames = FrameQueue(1)

    def put_all() -> None:
        for number in range(20):
            frames.put(frame(str(number)))
        frames.close()

    thread = threading.Thread(target=put_all)
    thread.start()
    found = []
    while (each := frames.get()) is not None:
        found.append(each.origin)
    thread.join(10)
    assert found == [str(number) for number in range(20)]


@pytest.mark.parametrize("values", [np.full((1, 2, 2), 51, np.uint8), np.full((1, 2, 2), 0.2, np.float32)])
def test_a_batch_is_what_the_network_takes(values: np.ndarray) -> None:
    batch = Frame(values, "").batch(1 / 255)
    assert batch.dtype == np.float32
    assert batch.shape == (1, 1, 2, 2)
    assert np.allclose(batch, 0.2)
