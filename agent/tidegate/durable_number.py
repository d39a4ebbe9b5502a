"""One whole number in a file, which a power cut leaves either old or new, never torn."""

import errno
import os
from pathlib import Path

from tidegate.files import read_file, replace_file

# As wide as any number will be, so that a new one fits into the bytes of the old.
_WIDTH = 20


def read_number(path: Path) -> int | None:
    """The number in `path`, None when the file is missing, unreadable or holds anything else."""
    try:
        number = int(read_file(path, 2 * _WIDTH))
    except (OSError, ValueError):
        return None
    return number if 0 <= number < 10**_WIDTH else None


def write_number(path: Path, number: int) -> None:
    """Replace the number in `path`. On return it is on the disk. Raises OSError and then leaves the old one.

    On a full disk the bytes of the old number are overwritten, which takes no room; they lie in one sector.
    """
    text = f"{number:0{_WIDTH}}\n"
    try:
        replace_file(path, text)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT} or not _overwrite(path, text.encode()):
            raise


def _overwrite(path: Path, text: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_size != len(text):
            return False
        os.pwrite(descriptor, text, 0)
        os.fsync(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
