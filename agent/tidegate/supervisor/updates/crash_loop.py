"""How many of its workers a policy may lose before it is taken for the cause."""

from collections import deque

NEW_S = 600.0
MOST_WHILE_NEW = 3
"""So many workers that end within NEW_S of a policy's acceptance are taken for its doing."""
MOST_IN_A_ROW = 5
IN_A_ROW_S = 180.0
"""So many within this time are at any age: the policy before it may do better, and can hardly do worse."""


class CrashLoop:
    """The ends of workers under one policy; times are seconds of one clock."""

    def __init__(self, accepted_at: float | None) -> None:
        self._accepted_at = accepted_at
        self._ends: deque[float] = deque(maxlen=MOST_IN_A_ROW)

    def note(self, now: float) -> str:
        """Count a worker that ended; why the policy has to go, empty as long as it may stay."""
        self._ends.append(now)
        count, first = len(self._ends), self._ends[0]
        if self._accepted_at is not None and now - self._accepted_at <= NEW_S and count >= MOST_WHILE_NEW:
            return f"{count} workers ended within {now - self._accepted_at:.0f} s of its acceptance"
        if count == MOST_IN_A_ROW and now - first <= IN_A_ROW_S:
            return f"{count} workers ended within {now - first:.0f} s"
        return ""
