"""The throttled word of a Raspberry Pi's firmware (documentation: raspberrypi.com, `vcgencmd get_throttled`)."""

import re
from dataclasses import dataclass

UNDER_VOLTAGE = 1 << 0
FREQUENCY_CAPPED = 1 << 1
THROTTLED = 1 << 2
SOFT_LIMIT = 1 << 3
HELD_BACK = FREQUENCY_CAPPED | THROTTLED | SOFT_LIMIT
_PRESENT = 0xF
# 16 to 19 say that the same "has occurred". Anybody's `get_throttled <mask>` clears them for everybody.
_HAS_OCCURRED_SHIFT = 16
_KNOWN = 0xF000F
_HEX = re.compile(r"[0-9a-fA-F]{1,8}")


@dataclass(frozen=True, slots=True)
class Throttled:
    """The firmware's `get_throttled` word: what it does now, and what has occurred."""

    word: int

    @classmethod
    def parse(cls, text: str) -> "Throttled":
        """From `throttled=0x50005`, `0x50005` or `50005`. Raises ValueError for anything else."""
        digits = text.strip().removeprefix("throttled=").removeprefix("0x")
        word = int(digits, 16) if _HEX.fullmatch(digits) else None
        if word is None or word & ~_KNOWN:
            raise ValueError(f"not a throttled word: {text[:40]!r}")
        return cls(word)

    @property
    def present(self) -> int:
        """The bits of what is so now."""
        return self.word & _PRESENT

    @property
    def has_occurred(self) -> int:
        """The same bits for what was so since somebody last cleared them."""
        return self.word >> _HAS_OCCURRED_SHIFT & _PRESENT

    @property
    def under_voltage(self) -> bool:
        """Whether the supply is below 4.63 V now, as the firmware measures it."""
        return bool(self.word & UNDER_VOLTAGE)

    @property
    def slowed(self) -> bool:
        """Whether the firmware holds the chip back now, for heat or for want of volts."""
        return bool(self.word & HELD_BACK)

    @property
    def pressure(self) -> str:
        """The thermal pressure that the bits stand for, one of THERMAL_PRESSURES."""
        if self.word & SOFT_LIMIT:
            return "serious"
        # Under-voltage caps and throttles as well, and is no heat.
        if self.word & (THROTTLED | FREQUENCY_CAPPED) and not self.under_voltage:
            return "serious"
        return "nominal"
