"""What became of every row that was ever put into a spool: totals that balance, with a check against damage."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

_MERGED = "merged"


@dataclass(frozen=True, slots=True)
class Account:
    """Totals over the life of a spool: put == acknowledged + sum(dropped.values()) + merged + waiting.

    `seq` is the last one given. `merged` rows have gone into others, which wait for them. `in_use` is true on the
    disk until the spool is closed in order. `ahead` are the first and the last number of rows that were handed out
    of memory: a broker may have those, but not yet the ones before them.
    """

    seq: NonNegativeInt = 0
    put: NonNegativeInt = 0
    acknowledged: NonNegativeInt = 0
    dropped: Mapping[str, NonNegativeInt] = field(default_factory=dict)
    in_use: bool = False
    merged: NonNegativeInt = 0
    ahead: tuple[NonNegativeInt, NonNegativeInt] | None = None

    @property
    def waiting(self) -> int:
        """Rows that have come and not gone."""
        return self.put - self.acknowledged - sum(self.dropped.values()) - self.merged

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

    def with_merged(self, rows: int) -> "Account":
        """After `rows` more have gone into others."""
        return replace(self, merged=self.merged + rows)

    def with_ahead(self, first: int, last: int) -> "Account":
        """After rows from `first` to `last` may have been sent before others."""
        before = self.ahead or (first, last)
        return replace(self, ahead=(min(before[0], first), max(before[1], last)))

    def with_nothing_ahead(self) -> "Account":
        """After none of those is left."""
        return replace(self, ahead=None)

    def plus(self, other: "Account") -> "Account":
        """Both together; the greater `seq` is the last one."""
        reasons = self.dropped.keys() | other.dropped.keys()
        together = Account(
            max(self.seq, other.seq),
            self.put + other.put,
            self.acknowledged + other.acknowledged,
            {reason: self.dropped.get(reason, 0) + other.dropped.get(reason, 0) for reason in sorted(reasons)},
            self.in_use,
            self.merged + other.merged,
            self.ahead,
        )
        return together if other.ahead is None else together.with_ahead(*other.ahead)

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
        # Among the dropped: an older release, after an upgrade that is taken back, finds an account that balances.
        "dropped": {**account.dropped, **({_MERGED: account.merged} if account.merged else {})},
        "in_use": account.in_use,
        **({} if account.ahead is None else {"ahead": account.ahead}),
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    return b"%08x%s" % (zlib.crc32(text), text)


def open_account(sealed: object) -> Account | None:
    """The account in sealed bytes, None for any other value."""
    if not isinstance(sealed, bytes) or sealed[:8] != b"%08x" % zlib.crc32(sealed[8:]):
        return None
    try:
        account = _account().validate_json(sealed[8:])
    except ValidationError:
        return None
    dropped = dict(account.dropped)
    return replace(account, merged=dropped.pop(_MERGED, 0), dropped=dropped)
