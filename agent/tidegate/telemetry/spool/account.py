"""What became of every row that was ever put into a spool: totals that balance, with a check against damage."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from pydantic import NonNegativeInt, TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class Account:
    """Totals over the life of a spool: put == acknowledged + sum(dropped.values()) + waiting.

    `seq` is the last one given. `in_use` is true on the disk until the spool is closed in order.
    """

    seq: NonNegativeInt = 0
    put: NonNegativeInt = 0
    acknowledged: NonNegativeInt = 0
    dropped: Mapping[str, NonNegativeInt] = field(default_factory=dict)
    in_use: bool = False

    @property
    def waiting(self) -> int:
        """Rows that have come and not gone."""
        return self.put - self.acknowledged - sum(self.dropped.values())

    def with_put(self, rows: int, last_seq: int = 0) -> "Account":
        """After `rows` more were put (fewer if negative), the last of them as `last_seq`."""
        return replace(self, put=self.put + rows, seq=max(self.seq, last_seq))

    def with_acknowledged(self, rows: int) -> "Account":
        """After the broker has `rows` more."""
        return replace(self, acknowledged=self.acknowledged + rows)

    def with_dropped(self, reason: str, rows: int) -> "Account":
        """After `rows` more were given up for `reason`."""
        if not rows:
            return self
        return replace(self, dropped={**self.dropped, reason: self.dropped.get(reason, 0) + rows})

    def plus(self, other: "Account") -> "Account":
        """Both together; the greater `seq` is the last one."""
        reasons = self.dropped.keys() | other.dropped.keys()
        return Account(
            max(self.seq, other.seq),
            self.put + other.put,
            self.acknowledged + other.acknowledged,
            {reason: self.dropped.get(reason, 0) + other.dropped.get(reason, 0) for reason in sorted(reasons)},
            self.in_use,
        )

    def balanced(self, waiting: int) -> "Account":
        """Made to agree with the rows found: what is missing is dropped as damaged, what is over was put."""
        missing = self.waiting - waiting
        return self.with_dropped("damaged", missing) if missing > 0 else self.with_put(-missing)


@cache
def _account() -> TypeAdapter[Account]:
    return TypeAdapter(Account)


def seal_account(account: Account) -> bytes:
    """As bytes that `open_account` reads."""
    document = {
        "seq": account.seq,
        "put": account.put,
        "acknowledged": account.acknowledged,
        "dropped": dict(account.dropped),
        "in_use": account.in_use,
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    return b"%08x%s" % (zlib.crc32(text), text)


def open_account(sealed: object) -> Account | None:
    """The account in sealed bytes, None for any other value."""
    if not isinstance(sealed, bytes) or sealed[:8] != b"%08x" % zlib.crc32(sealed[8:]):
        return None
    try:
        return _account().validate_json(sealed[8:])
    except ValidationError:
        return None
