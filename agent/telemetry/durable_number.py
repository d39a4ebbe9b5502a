"""One whole number in a file, which a power cut leaves either old or new, never torn."""

from pathlib import Path

from agent.durable_file import replace_file


def read_number(path: Path) -> int | None:
    """The number in `path`, None when the file is missing, unreadable or holds anything else."""
    try:
        number = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return number if number >= 0 else None


def write_number(path: Path, number: int) -> None:
    """Replace the number in `path`. On return it is on the disk. Raises OSError and then leaves the old one."""
    replace_file(path, f"{number}\n")
