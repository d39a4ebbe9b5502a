"""Property lists as macOS prints them: whole, without their frame, with a comma in numbers, or cut off."""

import plistlib
import re
from collections.abc import Mapping
from xml.parsers.expat import ExpatError

# A NUL stands between two lists of powermetrics. One that was cut off ends where the next begins.
_BETWEEN = re.compile(rb"\0|(?<=</plist>)|(?=<\?xml)")
_START = re.compile(rb"<\?xml|<plist|<dict|<array")
# Some releases write reals in the user's language.
_COMMA_REAL = re.compile(rb"(<real>[+-]?[0-9]+),([0-9]+</real>)")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


class RecordError(ValueError):
    """The text is not what the format says; the message shows it."""


def split(stream: bytes) -> tuple[list[bytes], bytes]:
    """The lists that are complete, and the beginning of the next one."""
    *complete, rest = _BETWEEN.split(stream)
    return [piece for piece in complete if piece.strip()], rest


def load(plist: bytes) -> object:
    """What a property list holds. Raises RecordError."""
    start = _START.search(plist)
    text = _COMMA_REAL.sub(rb"\1.\2", plist[start.start() :] if start else plist)
    try:
        # Said to be XML: a bare <dict> is not recognised as such.
        return plistlib.loads(text.rstrip(b"\0 \t\r\n"), fmt=plistlib.FMT_XML if start else None)
    except (plistlib.InvalidFileException, ExpatError, ValueError, OverflowError, IndexError, TypeError) as error:
        raise RecordError(f"not a property list: {plist[:40]!r}") from error


def number(of: Mapping[str, object], key: str, low: float, high: float, unit: str = "") -> float:
    """The number under a key, low..high. Raises RecordError."""
    value = of.get(key)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value.strip().replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        said = f"is {value!r:.60}" if key in of else "is missing"
        raise RecordError(f"{key} {said}, not a number of {low:g} to {high:g}{f' {unit}' if unit else ''}")
    return float(value)


def boolean(of: Mapping[str, object], key: str) -> bool:
    """The boolean under a key. Raises RecordError: one that is missing is not False."""
    value = of.get(key)
    if not isinstance(value, bool):
        raise RecordError(f"{key} {f'is {value!r:.60}' if key in of else 'is missing'}, neither true nor false")
    return value
