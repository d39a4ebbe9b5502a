"""Giving memory back when nobody asks: what requests took is free by then, but still the process's."""

from collections.abc import Callable

from tidegate.messages import Served


class IdleMemory:
    """Gives back once a whole reporting window has passed without a request, and not again before the next one."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._was_asked = False

    def after(self, window: Served) -> None:
        """Take note of a window that is over."""
        of_others = sum(each.requests + each.failed for each in window.models)
        if window.requests or window.failed or window.turned_away or of_others:
            self._was_asked = True
        elif self._was_asked:
            self._was_asked = False
            self._give_back()
