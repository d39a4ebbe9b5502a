"""Events that repeat, folded: the first few are told, the rest are counted and told together."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.supervisor.events.event import Event, EventKind

FOLDED = frozenset({EventKind.FAULT, EventKind.POLICY, EventKind.BUNDLE})
"""What others can cause as often as they like; the rest is paced by the control loop."""
AT_ONCE = 8
"""So many events of one source are told as they come, then one every EVERY_S."""
EVERY_S = 10.0
AT_ONCE_ALL = 32
ALL_EVERY_S = 2.0
"""The same for all sources together."""
MOST_SOURCES = 64
"""Sources that are told apart; who speaks when there are more is counted with the rest."""
_REST = (EventKind.FAULT, "")


class _Allowance:
    """So many at once, and one more every `every_s`."""

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once = at_once
        self._every_s = every_s
        self._left = float(at_once)
        self._at = 0.0

    def left(self, now: float) -> float:
        self._left = min(self._at_once, self._left + max(0.0, now - self._at) / self._every_s)
        self._at = now
        return self._left

    def take(self) -> None:
        self._left -= 1.0

    def full(self, now: float) -> bool:
        return self.left(now) >= self._at_once


@dataclass(slots=True)
class _Source:
    allowance: _Allowance
    count: int = 0
    first_at: datetime | None = None
    last: Event | None = None


class Folding:
    """Decides which events are told. `now` is monotonic, seconds; one thread at a time."""

    def __init__(self) -> None:
        self._all = _Allowance(AT_ONCE_ALL, ALL_EVERY_S)
        self._sources: OrderedDict[tuple[EventKind, str], _Source] = OrderedDict()

    def admits(self, event: Event, now: float) -> bool:
        """Whether to tell this event now; one that is not is counted, and told of by `due` later."""
        if event.kind not in FOLDED:
            return True
        source = self._source(event, now)
        # Once events wait, the next goes with them, so that what is told keeps its order.
        if not source.count and source.allowance.left(now) >= 1 and self._all.left(now) >= 1:
            source.allowance.take()
            self._all.take()
            return True
        source.count += 1
        source.first_at = source.first_at or event.at
        source.last = event
        return False

    def due(self, now: float, *, everything: bool = False) -> Iterator[Event]:
        """The events that stand for those counted, as far as they may be told now."""
        for key, source in list(self._sources.items()):
            if source.count and source.last is not None:
                if not everything and (source.allowance.left(now) < 1 or self._all.left(now) < 1):
                    continue
                source.allowance.take()
                self._all.take()
                # Whoever was told of waits behind the others next time.
                self._sources.move_to_end(key)
                yield _folded(source.last, source.count, source.first_at)
                source.count, source.first_at, source.last = 0, None, None
            elif source.allowance.full(now):
                del self._sources[key]

    def _source(self, event: Event, now: float) -> _Source:
        key = (event.kind, event.source or event.text)
        if key not in self._sources and len(self._sources) >= MOST_SOURCES:
            key = _REST
        if key not in self._sources:
            self._sources[key] = _Source(_Allowance(AT_ONCE, EVERY_S))
            self._sources[key].allowance.left(now)
        return self._sources[key]


def _folded(last: Event, count: int, first_at: datetime | None) -> Event:
    if count == 1 or first_at is None:
        return last
    first = first_at.isoformat(timespec="milliseconds")
    text = f"{count} times since {first_at.isoformat(timespec='seconds')}, the last: {last.text}"
    return replace(last, text=text, details={**last.details, "count": count, "first": first})
