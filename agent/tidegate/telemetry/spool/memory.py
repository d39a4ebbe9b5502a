"""Rows that wait in memory because the disk takes none now."""

from collections.abc import Collection, Iterator

from tidegate.telemetry.spool.account import Account
from tidegate.telemetry.spool.bounds import Bounds, batches
from tidegate.telemetry.spool.row import Row


class Memory:
    """Rows by number, oldest first, within the bounds. No disk and no clock in here.

    What becomes of a row is returned as the account to add: the disk has not counted it as put yet.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._rows: dict[int, Row] = {}
        self._handed_out: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __contains__(self, seq: int) -> bool:
        return seq in self._rows

    @property
    def size_bytes(self) -> int:
        """What the rows count for against the bound."""
        return sum(row.size_bytes for row in self)

    def first_batch(self) -> list[Row]:
        """The oldest rows, as many as one transaction takes; empty when there is none."""
        return next(batches(self), [])

    def keep(self, row: Row, now: float) -> Account:
        """Keep a row. The oldest give way: to their age ("age"), or to the bound ("unstored")."""
        if not self._bounds.allow(row):
            return _dropped("full")
        self._rows[row.seq] = row
        lost = Account()
        size_bytes = self.size_bytes
        for oldest in tuple(self):
            aged = oldest.at < self._bounds.oldest_at(now)
            if not aged and size_bytes <= self._bounds.memory_bytes:
                break
            size_bytes -= oldest.size_bytes
            self._remove(oldest.seq)
            lost = lost.plus(_dropped("age" if aged else "unstored"))
        return lost

    def hand_out(self, seqs: Collection[int]) -> None:
        """Those of these rows that are here are with the link now."""
        self._handed_out |= seqs & self._rows.keys()

    def handed_out(self, rows: Collection[Row]) -> list[int]:
        """Of these rows the numbers of those that a link ever had, ascending."""
        return sorted(self._handed_out & {row.seq for row in rows})

    def acknowledge(self, seqs: Collection[int]) -> Account:
        """The broker has these rows. Raises KeyError for one that is not here."""
        for seq in seqs:
            self._remove(seq)
        return Account(put=len(seqs), acknowledged=len(seqs))

    def drop(self, seq: int, reason: str) -> Account:
        """Give a row up. Raises KeyError if it is not here."""
        self._remove(seq)
        return _dropped(reason)

    def forget(self, rows: Collection[Row]) -> None:
        """These rows are on the disk now."""
        for row in rows:
            self._remove(row.seq)

    def _remove(self, seq: int) -> None:
        del self._rows[seq]
        self._handed_out.discard(seq)


def _dropped(reason: str) -> Account:
    return Account(put=1, dropped={reason: 1})
