"""The operating point on disk, so that a restarted agent goes on where it was instead of at full power."""

from contextlib import suppress
from pathlib import Path

from tidegate.files import read_file, replace_file
from tidegate.models.ladder import Ladder

FILE_NAME = "operating_point"


def read_last_point(state_dir: Path, ladder: Ladder) -> str:
    """The point that served last, or the full one when there is none or the ladder has changed."""
    with suppress(OSError, UnicodeDecodeError, KeyError):
        name = read_file(state_dir / FILE_NAME, 4096).decode().strip()
        return ladder.points[ladder.rung(name)].name
    return ladder.full.name


def write_last_point(state_dir: Path, point: str) -> None:
    """Remember the point; losing this in a power cut costs one start at the full point, so it is not synced."""
    with suppress(OSError):
        replace_file(state_dir / FILE_NAME, point, synced=False)
