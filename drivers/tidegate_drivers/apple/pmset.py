"""What `pmset -g batt` prints: what the Mac draws from, and a line for each battery and UPS."""

import re
from dataclasses import dataclass

from tidegate_drivers.apple.plist import RecordError

# OS X before 10.9 says "Currently".
_SOURCE = re.compile(r"^\s*(?:Now|Currently) drawing from\s+['\"\u2018]([^'\"\u2019]+)['\"\u2019]", re.MULTILINE)
_LINE = re.compile(r"^\s*-\s*(\S.*)$", re.MULTILINE)
_CHARGE = re.compile(
    r"(?P<name>.*?)\s*(?:\(id=-?[0-9]+\))?\s+(?P<percent>[0-9]{1,3}(?:[.,][0-9]+)?)\s*%(?P<rest>.*)"
)
_INTERNAL = re.compile(r"InternalBattery\b")
# Batteries of what is connected, which some releases list beside the Mac's own.
_PERIPHERAL = re.compile(r"mouse|keyboard|trackpad|airpods|headset|headphones|pencil|controller", re.IGNORECASE)
_ABSENT = re.compile(r"present:\s*(false|no)\b")
# "Full" is an estimate that the charge may pass a little.
_MOST_PERCENT = 110.0
_STATES = {
    "charging": "charging",
    "finishing charge": "charging",
    "discharging": "discharging",
    "charged": "full",
    "not charging": "not charging",
    "ac attached": "not charging",
}


@dataclass(frozen=True, slots=True)
class Charge:
    """One line: `percent`, and `state` as one of BATTERY_STATES, None where the words are others."""

    percent: float
    state: str | None


@dataclass(frozen=True, slots=True)
class Pmset:
    """`source` is one of POWER_SOURCES. `battery` is the Mac's own, or a UPS where it has none; None without both.

    `unread` shows a battery's line that can't be read.
    """

    source: str
    battery: Charge | None
    on_ups: bool = False
    unread: str = ""


def read(text: str) -> Pmset:
    """From what `pmset -g batt` prints. Raises RecordError."""
    match = _SOURCE.search(text)
    drawn = match[1].strip() if match else ""
    if drawn not in ("Battery Power", "AC Power", "UPS Power"):
        raise RecordError(f"pmset says {text[:60]!r}, not what it draws from")
    lines = [line for line in _LINE.findall(text) if not _PERIPHERAL.search(line) and not _ABSENT.search(line)]
    internal = [line for line in lines if _INTERNAL.match(line)]
    # To a Mac without a battery a UPS is one; to one with a battery it is the mains, as on Linux.
    counted = internal or lines
    battery, unread = _charge(counted)
    on_battery = drawn == "Battery Power" or (drawn == "UPS Power" and not internal)
    return Pmset("battery" if on_battery else "external", battery, drawn == "UPS Power" and not internal, unread)


def _charge(lines: list[str]) -> tuple[Charge | None, str]:
    if not lines:
        return None, ""
    if len(lines) > 1:
        # Their sizes are not told, and a mean of percentages is the charge of none.
        return None, f"pmset lists {len(lines)} batteries, and not how large each is"
    match = _CHARGE.fullmatch(lines[0].rstrip())
    percent = float(match["percent"].replace(",", ".")) if match else -1.0
    if match is None or percent > _MOST_PERCENT:
        return None, f"pmset says {lines[0].strip()[:60]!r}, not a charge in %"
    return Charge(min(100.0, percent), _state(match["rest"])), ""


def _state(rest: str) -> str | None:
    words = [re.sub(r"present:.*|\(.*|[0-9]+:[0-9]+.*", "", word).strip().lower() for word in rest.split(";")]
    # "AC attached; not charging": the last that is known says more.
    known = [_STATES[word] for word in words if word in _STATES]
    return known[-1] if known else None
