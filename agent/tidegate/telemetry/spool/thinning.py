"""Which windows of telemetry become one: the older, the coarser. Pure: no disk and no clock in here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from math import floor

# Rows that become one in one transaction, so that it stays small in the log.
_BATCH_ROWS = 64
_BATCH_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class Tier:
    """Windows that ended more than `older_than_s` ago become one for each `every_s`."""

    older_than_s: float
    every_s: float


TIERS = (Tier(24 * 3600.0, 3600.0), Tier(3600.0, 300.0))
"""As they come for an hour, then five minutes each, after a day hours."""
PRESSED = ((Tier(0.0, 300.0),), (Tier(0.0, 3600.0),))
"""What is done one after the other before a row is dropped for want of room."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row without its payload: number, topic, Unix time in seconds, and size in bytes."""

    seq: int
    topic: str
    at: float
    size_bytes: int


def groups(rows: Iterable[Waiting], now: float, tiers: Iterable[Tier] = TIERS) -> Iterator[tuple[Waiting, ...]]:
    """Neighbours in `rows`, two or more each, that are to become one by now; a group is no larger than a batch."""
    tiers = tuple(tiers)
    for interval, members in groupby(rows, lambda row: (row.topic, _interval(row.at, now, tiers))):
        if interval[1] is not None:
            yield from _batches(members)


def _interval(at: float, now: float, tiers: tuple[Tier, ...]) -> tuple[float, int] | None:
    """The interval that a time is in, of the first tier in which that is over for long enough."""
    for tier in tiers:
        number = floor(at / tier.every_s)
        if (number + 1) * tier.every_s <= now - tier.older_than_s:
            return tier.every_s, number
    return None


def _batches(rows: Iterable[Waiting]) -> Iterator[tuple[Waiting, ...]]:
    batch: list[Waiting] = []
    size_bytes = 0
    for row in rows:
        if len(batch) == _BATCH_ROWS or (len(batch) > 1 and size_bytes + row.size_bytes > _BATCH_BYTES):
            yield tuple(batch)
            batch, size_bytes = [], 0
        batch.append(row)
        size_bytes += row.size_bytes
    if len(batch) > 1:
        yield tuple(batch)
