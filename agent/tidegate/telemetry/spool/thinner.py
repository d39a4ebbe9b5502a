"""Thins a spool's telemetry inside a transaction: several windows that wait become one."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.merged_window import merged
from tidegate.telemetry.payloads.window import Window, parse_window
from tidegate.telemetry.spool import file as spool_file
from tidegate.telemetry.spool.bounds import MOST_DELETED_LATER
from tidegate.telemetry.spool.file import is_telemetry
from tidegate.telemetry.spool.row import Row, row_of
from tidegate.telemetry.spool.stored import Stored
from tidegate.telemetry.spool.thinning import Tier, Waiting, groups

# Of a process that was killed, the link may have had so many rows in flight, two of its windows, and the spool
# some that it was to delete.
_UNCERTAIN_ROWS = 32 + MOST_DELETED_LATER


@dataclass(slots=True)
class Thinner:
    """Merges only what no broker can have: a window that was sent would be counted again in a merged one.

    A link sends the windows of a topic in their order, so that of each topic those up to a number are left as they
    are; those that went ahead of others out of memory are in the account. Used under the spool's lock.
    """

    # Up to this number a broker may have the windows of a topic.
    _sent: dict[str, int] = field(default_factory=dict)
    # The opening of the file for which that was looked up.
    _generation: int | None = None
    # Up to this row there are windows of no known form; they are not read again each time.
    _strange: int = 0

    def note_handed_out(self, rows: Iterable[Row]) -> None:
        """These rows of the file are with the link now."""
        for row in rows:
            if is_telemetry(row.topic):
                self._sent[row.topic] = max(self._sent.get(row.topic, 0), row.seq)

    def step(
        self, database: sqlite3.Connection, generation: int, stored: Stored, now: float, tiers: Iterable[Tier]
    ) -> tuple[Stored, bool]:
        """With one group of windows made one; False when there is none to be."""
        if self._generation != generation:
            # Rows may have come to light that another process sent.
            for topic, seq in spool_file.nth_telemetry(database, _UNCERTAIN_ROWS).items():
                self._sent[topic] = max(self._sent.get(topic, 0), seq)
            self._generation = generation
        for group in groups(self._unsent(database, stored.account.ahead), now, tiers):
            found = _windows(database, [each.seq for each in group])
            if len(found) > 1:
                return _replace(database, stored, found), True
            self._strange = group[-1].seq
        return stored, False

    def _unsent(self, database: sqlite3.Connection, ahead: tuple[int, int] | None) -> Iterator[Waiting]:
        first, last = ahead or (0, 0)
        for row in spool_file.telemetry_after(database, self._strange):
            if row.seq > self._sent.get(row.topic, 0) and not first <= row.seq <= last:
                yield row


def _windows(database: sqlite3.Connection, seqs: Collection[int]) -> list[tuple[Row, Window]]:
    """The rows that are whole and of a known form; the others stay as they are."""
    rows = [row_of(*columns) for columns in spool_file.rows_numbered(database, seqs)]
    read = [(row, parse_window(row.payload)) for row in rows if row is not None]
    return [(row, window) for row, window in read if window is not None]


def _replace(database: sqlite3.Connection, stored: Stored, found: list[tuple[Row, Window]]) -> Stored:
    """The merged window takes the place of the last: rows stay in the order of their numbers."""
    last = found[-1][0]
    window = merged([window for _, window in found])
    stored = stored.without_rows(*spool_file.delete(database, [row.seq for row, _ in found]))
    row = Row(last.seq, last.topic, to_json({**window.to_document(), "seq": last.seq}), last.at)
    spool_file.insert(database, (row,))
    return stored.with_row(row.size_bytes).with_account(stored.account.with_merged(len(found) - 1))
