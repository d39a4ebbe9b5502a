"""What was measured once on this device, and when it is measured again."""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from tidegate.engines.runtime.cache import Cache

log = logging.getLogger(__name__)

MOST_STARTS = 64


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, and why it may come out otherwise another time: empty when it will not."""

    value: dict[str, object]
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    """An entry's content: the value, its doubt, how often it was measured, and the starts since.

    `session` is of the last process that asked: a worker and the children that it tries engines in are one start.
    """

    value: dict[str, object]
    doubt: str
    tries: int
    starts: int
    session: int

    @property
    def is_due(self) -> bool:
        """Whether it is to be measured again: at the next start, then after two more, four, and so on."""
        return bool(self.doubt) and self.starts >= min(2 ** (self.tries - 1), MOST_STARTS)


class Measurements:
    """Values by topic and subject in a cache, as JSON; one that can't be kept is measured again next time.

    A value with a doubt, as one that was measured while others kept the machine busy, is measured again at later
    starts, ever more seldom while the doubt stays. Starts are counted, no clock is asked: a board may have none.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def kept(self, topic: str, subject: str) -> tuple[dict[str, object], bool] | None:
        """What is kept, and whether it is without doubt; None for nothing. Counts no start."""
        kept = _parsed(self._cache.read(topic, subject))
        return None if kept is None else (kept.value, not kept.doubt)

    def value(
        self, topic: str, subject: str, measure: Callable[[dict[str, object] | None], Measured]
    ) -> dict[str, object]:
        """The kept value for this device, or a fresh one, which is then kept; `measure` gets the one before."""
        kept = _parsed(self._cache.read(topic, subject))
        if kept is not None and not kept.doubt:
            return kept.value
        session = _session()
        if kept is not None:
            if kept.session == session:
                return kept.value
            kept = replace(kept, starts=kept.starts + 1, session=session)
        if kept is None or kept.is_due:
            measured = measure(None if kept is None else kept.value)
            tries = 1 if kept is None else kept.tries + 1
            kept = _Kept(measured.value, measured.doubt, tries, 0, session)
            if kept.doubt:
                log.info("%s: to be measured again at a later start: %s", topic, kept.doubt)
        self._cache.write(topic, subject, json.dumps(asdict(kept)).encode())
        return kept.value


def _session() -> int:
    return os.getsid(0)


def _parsed(content: bytes | None) -> _Kept | None:
    """None for what isn't there, is damaged, or was kept by another version."""
    try:
        match json.loads(content or b"null"):
            case {
                "value": dict(value),
                "doubt": str(doubt),
                "tries": int(tries),
                "starts": int(starts),
                "session": int(session),
            }:
                return _Kept(value, doubt, min(max(1, tries), MOST_STARTS), starts, session)
    except (ValueError, RecursionError):
        pass
    return None
