"""How much a spool keeps, and which rows go when that is exceeded. Pure: rows in, rows to drop out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from tidegate.telemetry.spool.row import Row

# Larger rows are dropped: no broker's usual limit would let them through, and one alone would fill the log.
MAX_ROW_BYTES = 256 << 10
# What is kept in memory while the disk takes nothing.
MEMORY_BYTES = 4 << 20
# Rows that the broker has and that go with the next transaction: one of their own would cost flash as much as a
# row does. So many may be sent again after a kill.
MOST_DELETED_LATER = 16
# Rows that go in one transaction, so that it stays small in the log.
_BATCH_ROWS = 64
_BATCH_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of all rows together, and the age in seconds after which a row is dropped."""

    max_bytes: int
    max_age_s: float

    def allow(self, row: Row) -> bool:
        """Whether the row may be kept at all."""
        return row.size_bytes <= min(MAX_ROW_BYTES, self.max_bytes)

    def oldest_at(self, now: float) -> float:
        """The Unix time before which rows are too old."""
        return now - self.max_age_s

    @property
    def memory_bytes(self) -> int:
        """Bytes of rows that are kept in memory."""
        return min(MEMORY_BYTES, self.max_bytes)


class Drop(NamedTuple):
    """Rows to drop in one transaction; `more` says that others must go in the next."""

    seqs: list[int]
    more: bool


def one_batch(rows: Iterable[tuple[int, int]]) -> Drop:
    """Of rows as (seq, size in bytes) the first, as many as one transaction takes."""
    seqs: list[int] = []
    size_bytes = 0
    for seq, row_bytes in rows:
        if len(seqs) == _BATCH_ROWS or size_bytes > _BATCH_BYTES:
            return Drop(seqs, more=True)
        seqs.append(seq)
        size_bytes += row_bytes
    return Drop(seqs, more=False)


def too_old(rows: Iterable[tuple[int, object, int]], oldest_at: float) -> Drop:
    """Of rows as (seq, time, size in bytes), oldest first, those at the front that are too old; one batch.

    A time of any other type than a number is damage, and as good as too old.
    """
    old = takewhile(lambda row: not (isinstance(row[1], float) and row[1] >= oldest_at), rows)
    return one_batch((seq, size_bytes) for seq, _, size_bytes in old)


def to_free(rows: Iterable[tuple[int, object, int]], wanted_bytes: int) -> list[int]:
    """Of rows as (seq, time, size in bytes) the first that together free `wanted_bytes`; one batch at most."""
    seqs: list[int] = []
    freed_bytes = 0
    for seq, _, size_bytes in rows:
        seqs.append(seq)
        freed_bytes += size_bytes
        if len(seqs) == _BATCH_ROWS or freed_bytes >= wanted_bytes:
            break
    return seqs


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in lists that one transaction takes each."""
    batch: list[Row] = []
    size_bytes = 0
    for row in rows:
        batch.append(row)
        size_bytes += row.size_bytes
        if size_bytes > _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
