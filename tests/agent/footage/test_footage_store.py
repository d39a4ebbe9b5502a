"""Frames on the disk: to the bit, for their owner alone, within the quota, and gone when they are to be gone."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from tidegate.footage import kept, store
from tidegate.footage.frame_file import Frame, FrameError, decoded, encoded, read_frame
from tidegate.footage.kept import FootageCount, Queue, kept_frames
from tidegate.footage.store import FootageStore, NoRoom, read_sampling

MANY = 1 << 30


def frame(seed: int = 0, size: int = 64) -> Frame:
    values = np.random.default_rng(seed).normal(size=(1, size, size)).astype(np.float32)
    return Frame(values, "door")


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).integers(0, 256, (3, 20, 20)).astype(np.float32) / np.float32(255),
        np.random.default_rng(2).normal(size=(300, 300)).astype(np.float32),
        np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, 1e-45], np.float32),
        np.zeros((0, 4), np.float32),
    ],
)
def test_a_frame_comes_back_to_the_bit(values: np.ndarray) -> None:
    back = decoded(encoded(Frame(values, "door", "int8")), "here")
    assert (back.source, back.point) == ("door", "int8")
    assert back.values.dtype == np.float32
    assert back.values.tobytes() == values.tobytes()
    assert back.values.shape == values.shape


def test_a_picture_takes_a_fraction_of_its_floats() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (3, 64, 64)).astype(np.float32) / np.float32(255)
    assert len(encoded(Frame(picture, "door"))) < picture.nbytes / 3


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04", encoded(frame(size=4))[:-9]])
def test_what_is_no_frame_is_said(content: bytes) -> None:
    with pytest.raises(FrameError, match="here: no frame"):
        decoded(content, "here")


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        FootageStore(tmp_path / "footage", MANY, 1e12).put(frame(), 1000.0, 0.25)
    finally:
        os.umask(before)
    (found,) = kept_frames(tmp_path / "footage", Queue.SAMPLE)
    assert (found.at_s, found.key) == (1000, 0.25)
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (found.path.parent, tmp_path / "footage")} == {0o700}
    assert read_frame(found.path).values.tobytes() == frame().values.tobytes()


def test_the_quota_keeps_the_smallest_keys_and_outlives_a_restart(tmp_path: Path) -> None:
    one = kept.taken_bytes(len(encoded(frame())))
    quota = int(10.5 * one / (1 - store.APART_SHARE))
    kept_by = FootageStore(tmp_path, quota, 1e6, lambda: 2000.0)
    keys = np.random.default_rng(7).permutation(40) / 40
    for number, key in enumerate(keys):
        kept_by.put(frame(number), 1000.0 + number, float(key))
    found = kept_frames(tmp_path, Queue.SAMPLE)
    assert sorted(each.key for each in found) == pytest.approx(np.arange(10) / 40)
    assert kept.count(tmp_path).size_bytes <= quota
    assert kept_by.ceiling == pytest.approx(10 / 40)
    again = FootageStore(tmp_path, quota, 1e6, lambda: 2000.0)
    assert again.ceiling == kept_by.ceiling
    again.put(frame(99), 1100.0, 0.9)
    assert len(kept_frames(tmp_path, Queue.SAMPLE)) == 10
    (tmp_path / store.CEILINGS).write_text("[")
    assert read_sampling(tmp_path).in_force == pytest.approx(9 / 40)


def test_disagreements_are_apart_and_the_oldest_of_them_go_first(tmp_path: Path) -> None:
    one = kept.taken_bytes(len(encoded(frame())))
    kept_by = FootageStore(tmp_path, int(3.5 * one / store.APART_SHARE), 1e12)
    kept_by.put(frame(), 1.0, 0.5)
    for number in range(6):
        kept_by.put_disagreement(frame(number), 1000.0 + number, 0.5)
    assert [each.at_s for each in kept_frames(tmp_path, Queue.DISAGREEMENTS)] == [1003, 1004, 1005]
    assert len(kept_frames(tmp_path, Queue.SAMPLE)) == 1


def test_what_is_too_old_or_from_a_wrong_clock_goes(tmp_path: Path) -> None:
    kept_by = FootageStore(tmp_path, MANY, 1e12)
    for at_s in (0.0, 900.0, 1100.0, 1e9):
        kept_by.put(frame(), at_s, 0.5)
    draft = tmp_path / "sample" / "0000000001-0000000000000000.npz.new"
    draft.write_bytes(b"half a frame")
    assert kept.expire(tmp_path, 200.0, 1200.0, kept.AHEAD_S) == 3
    assert [each.at_s for each in kept_frames(tmp_path, Queue.SAMPLE)] == [1100]
    assert not draft.exists()


def test_a_full_disk_keeps_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SPARE_BYTES", 1 << 60)
    with pytest.raises(NoRoom):
        FootageStore(tmp_path, MANY, 1e6).put(frame(), 1000.0, 0.25)
    assert kept.count(tmp_path) == FootageCount(0, 0, 0, None, None)


def test_clearing_leaves_nothing_whatever_is_there(tmp_path: Path) -> None:
    directory = tmp_path / "footage"
    assert not kept.clear(directory)
    FootageStore(directory, MANY, 1e12).put(frame(), 1000.0, 0.25)
    (directory / "sample" / "stranger").mkdir()
    assert kept.clear(directory)
    assert not directory.exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    directory.symlink_to(elsewhere)
    assert kept.clear(directory)
    assert (elsewhere / "mine").exists()


def test_what_this_user_may_not_see_is_not_called_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.unreadable(tmp_path / "none") is None
    assert kept.unreadable(tmp_path) is None

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # root, as which tests may run, is refused nothing
    assert kept.unreadable(tmp_path) == f"{tmp_path}: Permission denied"
