"""What the worker keeps of its answers: a frame a clip, evenly drawn, and a disagreement a clip and point."""

import time
from pathlib import Path

import numpy as np

from tidegate.footage.frame_file import read_frame
from tidegate.footage.kept import Queue, kept_frames
from tidegate.footage.store import FootageStore
from tidegate.worker.footage import MAX_SOURCES, KeptFootage


class Clock:
    """Both clocks of a test."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def footage(directory: Path, clock: Clock, clip_s: float = 10.0) -> KeptFootage:
    chance = np.random.default_rng(1)
    store = FootageStore(directory, 1 << 30, 1e9, clock)
    return KeptFootage(store, clip_s, clock=clock, monotonic=clock, chance=lambda: float(chance.random()))


def batch(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_a_clip_gives_one_of_its_frames_each_as_often(tmp_path: Path) -> None:
    clock = Clock()
    keeps = footage(tmp_path, clock)
    for _ in range(400):
        keeps.note(batch(0), "door")
        keeps.note(batch(1, 2), "door")
        keeps.note(batch(3), "door")
        clock.now_s += 10
        while keeps.waiting:
            time.sleep(0.001)
    keeps.close()
    values = [float(read_frame(each.path).values[0]) for each in kept_frames(tmp_path, Queue.SAMPLE)]
    assert len(values) == 400
    counts = np.bincount(np.array(values, int), minlength=4)
    assert (abs(counts - 100) < 4 * np.sqrt(400 * 0.25 * 0.75)).all()


def test_what_is_kept_is_not_what_becomes_of_the_buffer(tmp_path: Path) -> None:
    keeps = footage(tmp_path, Clock())
    inputs = batch(5)
    keeps.note(inputs, "door")
    inputs[:] = 7
    keeps.close()
    (found,) = kept_frames(tmp_path, Queue.SAMPLE)
    assert read_frame(found.path).values == 5
    assert read_frame(found.path).source == "door"


def test_sources_have_clips_of_their_own_and_a_still_one_is_written_too(tmp_path: Path) -> None:
    clock = Clock()
    keeps = footage(tmp_path, clock)
    for number in range(MAX_SOURCES + 5):
        keeps.note(batch(number), f"camera-{number}")
    keeps.end_clips()
    clock.now_s += 10
    keeps.end_clips()
    keeps.close()
    # Each is drawn a key of its own, and all fit; but no more sources at once than are counted.
    assert len(kept_frames(tmp_path, Queue.SAMPLE)) <= MAX_SOURCES


def test_disagreements_are_kept_once_a_clip_and_point(tmp_path: Path) -> None:
    clock = Clock()
    keeps = footage(tmp_path, clock)
    for _ in range(3):
        keeps.disagreed(batch(1, 2, 3), np.array([False, True, False]), "int8", "door")
    keeps.disagreed(batch(4), np.array([True]), "skip", "door")
    keeps.disagreed(batch(4), np.array([False]), "other", "door")
    clock.now_s += 10
    keeps.disagreed(batch(5), np.array([True]), "int8", "door")
    keeps.close()
    found = [read_frame(each.path) for each in kept_frames(tmp_path, Queue.DISAGREEMENTS)]
    assert sorted((frame.point, float(frame.values[0])) for frame in found) == [
        ("int8", 2.0),
        ("int8", 5.0),
        ("skip", 4.0),
    ]
    assert kept_frames(tmp_path, Queue.SAMPLE) == ()


def test_forgetting_deletes_and_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    keeps = footage(tmp_path / "footage", clock)
    keeps.note(batch(1), "door")
    keeps.end_clips()
    keeps.note(batch(1), "gate")
    keeps.forget()
    clock.now_s += 10
    keeps.note(batch(2), "door")
    keeps.close()
    (found,) = kept_frames(tmp_path / "footage", Queue.SAMPLE)
    assert read_frame(found.path).values == 2


def test_a_disk_that_refuses_costs_frames_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "footage").write_text("in the way")
    clock = Clock()
    keeps = footage(tmp_path / "footage", clock)
    keeps.note(batch(1), "door")
    clock.now_s += 10
    keeps.note(batch(2), "door")
    keeps.close()
    assert "footage" in keeps.trouble
    assert (tmp_path / "footage").read_text() == "in the way"
