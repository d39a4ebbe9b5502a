"""What a spool has on the disk, as numbers that go with every transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tidegate.telemetry.spool.account import Account
from tidegate.telemetry.spool.row import Row


@dataclass(frozen=True, slots=True)
class Stored:
    """The account as it stands on the disk, and how many rows lie there in how many bytes."""

    account: Account = field(default_factory=Account)
    rows: int = 0
    size_bytes: int = 0

    def with_row(self, size_bytes: int) -> "Stored":
        """After one more row of `size_bytes`."""
        return replace(self, rows=self.rows + 1, size_bytes=self.size_bytes + size_bytes)

    def without_rows(self, rows: int, size_bytes: int) -> "Stored":
        """After `rows` of `size_bytes` together went; the account is for the caller to change."""
        return replace(self, rows=self.rows - rows, size_bytes=self.size_bytes - size_bytes)

    def with_account(self, account: Account) -> "Stored":
        """The same rows under another account."""
        return replace(self, account=account)

    def marked(self, *, in_use: bool) -> "Stored":
        """With the mark that tells a spool closed in order from one that was not."""
        return self.with_account(replace(self.account, in_use=in_use))

    def with_found(self, rows: Sequence[Row], counted_damaged: int) -> "Stored":
        """With rows that were read back; `counted_damaged` of them were in the account as lost until now.

        Those beyond that number were never counted: they were put.
        """
        found = min(max(0, counted_damaged), len(rows))
        dropped = {**self.account.dropped, "damaged": self.account.dropped.get("damaged", 0) - found}
        account = replace(
            self.account,
            put=self.account.put + len(rows) - found,
            dropped={reason: number for reason, number in dropped.items() if number},
            seq=max(self.account.seq, *(row.seq for row in rows), 0),
        )
        return Stored(account, self.rows + len(rows), self.size_bytes + sum(row.size_bytes for row in rows))
