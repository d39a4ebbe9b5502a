"""Session numbers."""

import time
from pathlib import Path

import pytest

from tidegate.telemetry.session import next_session


def test_counts_starts(tmp_path: Path) -> None:
    path = tmp_path / "state" / "session"
    assert [next_session(path) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("damage", [b"", b"x", b"-4", b"\xff", b"1.5"])
def test_damaged_file_still_grows(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "session"
    for _ in range(3):
        before = next_session(path)
    path.write_bytes(damage)
    number = next_session(path)
    assert number > before
    assert number >= int(time.time())
    assert next_session(path) == number + 1


def test_unwritable_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        next_session(tmp_path / "file" / "session")
