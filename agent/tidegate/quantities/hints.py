"""What to write in place of a quantity that can't be read: only lines that say what may have been meant.

A number without its unit is not given one by guess: `0.015` behind `max_accuracy_loss` is 1.5 %, not 0.015 %.
Where several readings make sense, the hint asks which is meant.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from tidegate.quantities.dimension import Dimension

_PERCENT = "%"

_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "celsius": ("C",),
    "degc": ("C",),
    "deg": ("C",),
    "°": ("C",),
    "percent": (_PERCENT,),
    "pct": (_PERCENT,),
    "watt": ("W",),
    "watts": ("W",),
    "mw": ("mW",),
    "b": ("B",),
    "bytes": ("B",),
    "k": ("KiB", "kB"),
    "kib": ("KiB",),
    "m": ("MiB", "MB", "min"),
    "mb": ("MB",),
    "mib": ("MiB",),
    "mhz": ("MHz",),
    "g": ("GiB", "GB"),
    "ms": ("ms",),
    "msec": ("ms",),
    "msecs": ("ms",),
    "millisecond": ("ms",),
    "milliseconds": ("ms",),
    "sec": ("s",),
    "secs": ("s",),
    "second": ("s",),
    "seconds": ("s",),
    "min": ("min",),
    "mins": ("min",),
    "minute": ("min",),
    "minutes": ("min",),
    "hour": ("h",),
    "hours": ("h",),
    "hr": ("h",),
    "day": ("d",),
    "days": ("d",),
    "hertz": ("Hz",),
    "rps": ("/s",),
    "qps": ("/s",),
    "fps": ("/s",),
}
"""Units as people write them, in small letters, with those that they may stand for."""

_MEGA = frozenset({"MW", "MHz", "MWh"})
"""Units with the prefix of a million: in small letters they would be a thousandth."""

_FOREIGN: Mapping[str, tuple[str, Decimal, Decimal]] = {
    # unit: the known one, its size in that, and the known one's value at 0
    "F": ("C", Decimal(5) / 9, Decimal(-160) / 9),
    "°F": ("C", Decimal(5) / 9, Decimal(-160) / 9),
    "K": ("C", Decimal(1), Decimal("-273.15")),
    "‰": (_PERCENT, Decimal("0.1"), Decimal(0)),
    "us": ("ms", Decimal("0.001"), Decimal(0)),
    "µs": ("ms", Decimal("0.001"), Decimal(0)),
}
_NEVER_LEFT_OUT = frozenset({"mHz", "mWh", "kW", "kB", "MB", "GB", "KiB", "min", "h", "d"})
"""Units that whoever means them writes; a bare 256 of memory is MiB, not 256 thousand bytes."""
_COMMA = re.compile(r"([-+]?[0-9]{1,18}),([0-9]{1,18})\s*(\S*)")


def bare_number(number: Decimal | None, dimension: Dimension) -> str:
    """The hint for a number without a unit: the one line it can mean, a question, or else an example."""
    lines = [] if number is None else _readings(number, dimension)
    return which(lines) or f"for example `{dimension.example}`"


def other_spelling(number: Decimal, unit: str, dimension: Dimension) -> list[str]:
    """The lines that a number with an unknown unit may mean; none where nobody can tell."""
    if unit in _FOREIGN:
        known, size, zero = _FOREIGN[unit]
        return _written([(round(number * size + zero, 3), known)], dimension)
    if unit in _MEGA:
        return []
    return _written([(number, known) for known in _SPELLINGS.get(unit.lower(), ())], dimension)


def decimal_comma(text: str, dimension: Dimension) -> str:
    """The hint for a number written with a comma, as `1,5 %`; empty for anything else."""
    match = _COMMA.fullmatch(text.strip())
    if match is None:
        return ""
    whole, after, unit = match.groups()
    numbers = [Decimal(f"{whole}.{after}")]
    if len(after) == 3 and whole.lstrip("+-").lstrip("0"):
        numbers.append(Decimal(whole + after))
    lines = []
    for number in numbers:
        if not unit:
            lines += _readings(number, dimension)
        elif unit in dimension.units:
            lines += _written([(number, unit)], dimension)
        else:
            lines += other_spelling(number, unit, dimension)
    asked = which(lines)
    return f"decimals stand behind a point: {asked}" if asked else ""


def which(lines: Sequence[str]) -> str:
    """One line to write, or the question which of them is meant; empty without any."""
    unique = [f"`{line}`" for line in dict.fromkeys(lines)]
    if not unique:
        return ""
    return f"write {unique[0]}" if len(unique) == 1 else f"which is meant: {' or '.join(unique)}?"


def _readings(number: Decimal, dimension: Dimension) -> list[str]:
    """What a bare number can mean: in each unit in which that many are usual, percentages also as a fraction."""
    low, high = (Decimal(str(bound)) for bound in dimension.usual)
    if _PERCENT in dimension.units:
        size = dimension.units[_PERCENT]
        usual = number == 0 or low <= number * size <= high
        fraction = [(number * 100, _PERCENT)] if 0 < number <= 1 else []
        return _written([*fraction, *([(number, _PERCENT)] if usual else [])], dimension)
    # The example's unit first: the usual one.
    first = dimension.example.split()[1]
    units = (first, *(unit for unit in dimension.units if unit != first))
    meant = [unit for unit in units if number == 0 or low <= number * dimension.units[unit] <= high]
    # Units of one size are one reading: `C` and `°C`, `Hz` and `/s`.
    sizes: dict[Decimal, str] = {}
    for unit in meant if number else units[:1]:
        if unit not in _NEVER_LEFT_OUT:
            sizes.setdefault(dimension.units[unit], unit)
    return _written([(number, unit) for unit in sizes.values()], dimension)


def _written(readings: Sequence[tuple[Decimal, str]], dimension: Dimension) -> list[str]:
    return [
        f"{_figure(number)} {unit}"
        for number, unit in readings
        if unit in dimension.units and dimension.holds(number * dimension.units[unit])
    ]


def _figure(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
