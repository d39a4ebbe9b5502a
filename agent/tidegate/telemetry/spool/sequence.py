"""Sequence numbers that grow for ever, also when the database is lost or can't be written."""

import time
from pathlib import Path

from tidegate.durable_number import read_number, write_number

# How many numbers one write to the file reserves.
RESERVED_SEQS = 1000


class Sequence:
    """A small file beside the database holds a number that no seq has passed; whatever is lost, the next is above.

    Where that file can't be written either, milliseconds of Unix time take over, which are above any count of rows
    (the clock permitting).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserved = read_number(path)
        self._damaged = self._reserved is None and path.exists()

    def floor(self, *, lost: bool) -> int:
        """The number above which a new database starts; `lost` says that there was one before."""
        if self._reserved is not None:
            return self._reserved
        return now_ms() if lost or self._damaged else 0

    def resume(self, last: int, *, lost: bool) -> int:
        """Where an intact database whose last number is `last` goes on.

        A reserve far above it shows numbers that were given while the disk took no rows. `lost` says that the
        latest transactions are gone.
        """
        reserved = self._reserved
        if reserved is not None and (lost or reserved > last + RESERVED_SEQS):
            return max(reserved, last)
        return max(last, now_ms()) if lost else last

    def reserve(self, seq: int) -> None:
        """Make sure that the file is not passed by `seq`. Raises OSError."""
        if self._reserved is None or seq > self._reserved:
            self.renew(seq)

    def guard(self, seq: int) -> None:
        """Make sure that a restart goes on above `seq`, whatever lower number it finds in the database.

        Raises OSError.
        """
        if self._reserved is None or self._reserved <= seq + RESERVED_SEQS:
            # A block more than `resume` needs to see the gap: the next rows then need no write.
            self._renew(max(seq, self._reserved or 0) + 2 * RESERVED_SEQS)

    def renew(self, seq: int) -> None:
        """Write the file for numbers from `seq` on. Raises OSError."""
        self._renew(max((seq // RESERVED_SEQS + 1) * RESERVED_SEQS, self._reserved or 0))

    def _renew(self, above: int) -> None:
        write_number(self._path, above)
        self._reserved = above


def now_ms() -> int:
    """Milliseconds of Unix time, as the number that nothing else vouches for."""
    return int(time.time() * 1000)
