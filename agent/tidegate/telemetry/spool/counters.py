"""What a spool tells of itself: its totals at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpoolCounters:
    """Totals over the life of the spool: put == acknowledged + sum(dropped.values()) + merged + waiting.

    `merged` rows have gone into others, which hold what was in them. `in_memory` of the waiting rows are not on
    the disk, because it does not take them now.
    """

    put: int
    acknowledged: int
    dropped: Mapping[str, int]
    waiting: int
    waiting_bytes: int
    in_memory: int
    merged: int = 0
