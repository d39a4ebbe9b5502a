"""One whole number in a file, which a power cut leaves either old or new, never torn."""

import os
from pathlib import Path


def read_number(path: Path) -> int | None:
    """The number in `path`, None when the file is missing, unreadable or holds anything else."""
    try:
        number = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return number if number >= 0 else None


def write_number(path: Path, number: int) -> None:
    """Replace the number in `path`. On return it is on the disk. Raises OSError and then leaves the old one."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="ascii") as file:
        file.write(f"{number}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    # The rename is durable only with the directory that holds it.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
