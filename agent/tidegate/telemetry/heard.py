"""What became of the messages that arrived: each is counted, also where nobody is told of it by itself."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Literal

Kind = Literal["push", "chunk", "input", "hold", "home assistant"]
Fate = Literal["taken", "judged", "refused", "overtaken", "cleared", "put off"]


class Heard:
    """Counts since the start; for any thread.

    A push is `judged`, whatever its verdict, or `put off` each time that it will be handed over again. `overtaken`
    is what a later message of the same topic replaced, `cleared` an empty one, `refused` what is no use.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[Kind, Fate]] = Counter()
        self._arrived = 0

    def arrived(self) -> None:
        """A message came from the broker."""
        with self._lock:
            self._arrived += 1

    def note(self, kind: Kind, fate: Fate) -> None:
        """What became of one."""
        with self._lock:
            self._counts[kind, fate] += 1

    @property
    def received(self) -> int:
        """How many messages came."""
        return self._arrived

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many of each kind met each fate, such as ("input", "refused")."""
        with self._lock:
            return dict(sorted(self._counts.items()))
