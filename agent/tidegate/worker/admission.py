"""How much is answered at all, when the policy limits it: a last resort beside the operating point."""

import time
from collections.abc import Callable
from threading import Lock


class TooMuch(Exception):  # noqa: N818 - names what the client did
    """A request beyond the limit; `retry_after_s` is when to ask again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Place:
    """Taken; given back at the end of a `with`."""

    __slots__ = ("_admission",)

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission

    def __enter__(self) -> None:
        """It is taken already."""

    def __exit__(self, *_: object) -> None:
        self._admission.leave()


class Admission:
    """Lets requests in by rate (Hz) and number at once; None for no limit. Safe to use from several threads.

    The rate is met on the mean: after a pause one second's worth, at least one request, is let in at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens, self._at = 1.0, clock()
        self._running = 0
        self._lock = Lock()

    def enter(self, rate_hz: float | None, concurrency: int | None) -> "Place":
        """A place for one request, to be held while it is answered. Raises TooMuch."""
        with self._lock:
            if concurrency is not None and self._running >= concurrency:
                raise TooMuch(f"the policy lets {concurrency} requests in at once", 1.0)
            if rate_hz is not None:
                self._take(rate_hz)
            self._running += 1
        return Place(self)

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._running -= 1

    def _take(self, rate_hz: float) -> None:
        if rate_hz <= 0:
            raise TooMuch("the policy lets no requests in for now", 60.0)
        now = self._clock()
        self._tokens = min(max(1.0, rate_hz), self._tokens + (now - self._at) * rate_hz)
        self._at = now
        if self._tokens < 1.0:
            raise TooMuch(f"the policy lets {rate_hz:.3g} requests a second in", (1.0 - self._tokens) / rate_hz)
        self._tokens -= 1.0
