"""What a Raspberry Pi's firmware has said since the agent started: a memory of our own.

The firmware's own "has occurred" bits are shared. Anybody may clear them, the kernel does so every 2 s
(drivers/hwmon/raspberrypi-hwmon.c), and what they held when the agent started is of no known age. tidegate only
reads them.
"""

from tidegate_drivers.boards.throttled import Throttled


class Latch:
    """Remembers every condition that was seen, or that left its mark between two looks."""

    def __init__(self) -> None:
        self._seen = 0
        self._marked: int | None = None

    def see(self, word: Throttled) -> Throttled:
        """Remember what a throttled word says; gives it back."""
        marked = word.has_occurred
        self._seen |= word.present
        # A mark that was there at the first look may be a week old.
        if self._marked is not None:
            self._seen |= marked & ~self._marked
        self._marked = marked
        return word

    def add(self, bits: int) -> None:
        """Remember conditions that another source has seen."""
        self._seen |= bits

    def holds(self, bits: int) -> bool:
        """Whether one of the conditions has been there since the start."""
        return bool(self._seen & bits)
