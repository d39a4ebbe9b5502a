"""What could be read of a lost spool goes into a new one, and the account says what could not."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tidegate.telemetry.spool import file as spool_file
from tidegate.telemetry.spool.account import Account
from tidegate.telemetry.spool.bounds import batches
from tidegate.telemetry.spool.row import Row
from tidegate.telemetry.spool.stored import Stored


@dataclass(frozen=True, slots=True)
class Refilled:
    """What the new file holds; `lost` rows are missing in it, None if nobody knows how many."""

    stored: Stored
    saved: int
    lost: int | None

    def __str__(self) -> str:
        lost = "how many are lost is not known" if self.lost is None else f"{self.lost} lost"
        return f"{self.saved} rows saved, {lost}"


def refill(database: sqlite3.Connection, account: Account | None, last_seq: int, rows: Iterable[Row]) -> Refilled:
    """Put `rows` into a new file. `account` is the old one's, None if that is damaged too.

    Raises sqlite3.Error; whatever is there then agrees with its account.
    """
    before = account if account is not None else Account()
    # All are lost until they are found again, so that the account holds whenever this ends.
    stored = Stored(replace(before, seq=max(before.seq, last_seq), in_use=True).balanced(0))
    damaged = stored.account.dropped.get("damaged", 0) - before.dropped.get("damaged", 0)
    _write(database, stored, ())
    saved = 0
    for batch in batches(rows):
        stored = stored.with_found(batch, damaged - saved)
        _write(database, stored, batch)
        saved += len(batch)
    return Refilled(stored, saved, None if account is None else max(0, damaged - saved))


def _write(database: sqlite3.Connection, stored: Stored, rows: Sequence[Row]) -> None:
    database.execute("BEGIN IMMEDIATE")
    spool_file.insert(database, rows)
    spool_file.write_account(database, stored.account)
    database.execute("COMMIT")
