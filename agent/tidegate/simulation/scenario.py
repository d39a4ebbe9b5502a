"""What a day does to a device: ambient, supply, load, other programs and lost sensors, second by second."""

import math
from dataclasses import dataclass

import numpy as np

from tidegate.boards.device import Device
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate_drivers.reading import BATTERY, POWER, POWER_SOURCE, TEMPERATURE
from tidegate_drivers.trace import ReplayTrace, Track

Seconds = list[float]

_LOST = {
    "battery": frozenset({BATTERY}),
    "temperature": frozenset({TEMPERATURE}),
    "power": frozenset({POWER}),
    "battery+temperature": frozenset({BATTERY, TEMPERATURE}),
    "all": frozenset({BATTERY, TEMPERATURE, POWER, POWER_SOURCE}),
}
_NONE: frozenset[str] = frozenset()


LONGEST_S = 366 * 86_400.0
"""The longest trace that is played: a time stamp in milliseconds, taken for seconds, is thousands of years."""


class ScenarioError(TidegateError, ValueError):
    """A trace that no device can be simulated through; the message says what it lacks."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Scenario:
    """The outside world, one value a second; `clock_s` is the time of day at its beginning, seconds.

    `competing` is the share of the CPU that other programs take, `lost` the readings whose sensors are silent.
    """

    name: str
    clock_s: float
    ambient_c: Seconds
    supply_w: Seconds
    requests_hz: Seconds
    competing: Seconds
    lost: list[frozenset[str]]
    charge_percent: float = 100.0

    @property
    def seconds(self) -> int:
        """The duration in seconds, which is the number of values in each column."""
        return len(self.ambient_c)

    def until(self, seconds: int) -> "Scenario":
        """The scenario cut after its first `seconds`."""
        columns = (self.ambient_c, self.supply_w, self.requests_hz, self.competing)
        ambient_c, supply_w, requests_hz, competing = (column[:seconds] for column in columns)
        lost = self.lost[:seconds]
        return Scenario(
            self.name, self.clock_s, ambient_c, supply_w, requests_hz, competing, lost, self.charge_percent
        )

    @classmethod
    def of(cls, trace: ReplayTrace, device: Device, requests_hz: float | None = None) -> "Scenario":
        """The scenario of a scripted or recorded day. Raises ScenarioError.

        What a trace lacks is taken from the device: its usual ambient, and its supply whenever a recorded
        power source says `external`. `requests_hz` is the load where the trace has none.
        """
        # A column in which every cell is empty says no more than none: a sensor that was never there.
        tracks = {name: track for name, track in trace.tracks.items() if any(v is not None for v in track.values)}
        seconds = int(min(trace.duration_s, LONGEST_S + 1.0))
        if not 1 <= seconds <= LONGEST_S:
            lasts = f"lasts {trace.duration_s:.6g} s"
            raise ScenarioError(f"{trace.name}: the trace {lasts}; from 1 s to a year can be simulated")
        if "requests" not in tracks and requests_hz is None:
            lacks = "has no value in" if "requests" in trace.tracks else "has no"
            raise ScenarioError(
                f"{trace.name}: the trace {lacks} column requests_hz; give their rate with --requests"
            )
        charges = tracks[BATTERY].values if BATTERY in tracks else ()
        charge = next((each for each in charges if isinstance(each, float)), None)
        source = _words(tracks.get(POWER_SOURCE), trace, seconds)
        # Where nothing says so, a device without a battery runs on its supply, and one with a battery on that.
        without = {"external", ""} if device.battery_wh is None else {"external"}
        plugged = [device.supply_w if word in without else 0.0 for word in source]
        supply_w = _numbers(tracks["supply"], trace, seconds, 0.0) if "supply" in tracks else plugged
        if device.battery_wh is None and max(supply_w) <= 0.0:
            raise ScenarioError(
                f"{trace.name}: the day is on battery from end to end, and the device has none; name a board with "
                "a battery (field-box, macbook, or a profile of yours), or a day with external power"
            )
        return cls(
            name=trace.name,
            clock_s=trace.clock_s,
            ambient_c=_numbers(tracks.get("ambient"), trace, seconds, device.ambient_c),
            supply_w=supply_w,
            requests_hz=_numbers(tracks.get("requests"), trace, seconds, requests_hz or 0.0),
            competing=[share / 100.0 for share in _numbers(tracks.get("competing"), trace, seconds, 0.0)],
            lost=[_LOST.get(word, _NONE) for word in _words(tracks.get("lost"), trace, seconds)],
            charge_percent=charge if isinstance(charge, float) else 100.0,
        )


def _numbers(track: Track | None, trace: ReplayTrace, seconds: int, default: float) -> Seconds:
    """One value a second; where the track is silent the last value holds."""
    if track is None:
        return [default] * seconds
    known = [
        (at, value) for at, value in zip(track.times_s, track.values, strict=True) if isinstance(value, float)
    ]
    if not known:
        return [default] * seconds
    times, values = zip(*known, strict=True)
    wanted = np.arange(seconds) + trace.starts_s
    numbers: Seconds = np.interp(wanted, times, values).tolist()
    return numbers


def _words(track: Track | None, trace: ReplayTrace, seconds: int) -> list[str]:
    """One word a second, each from its row on."""
    if track is None:
        return [""] * seconds
    words: list[str] = []
    for at, value in zip(track.times_s, track.values, strict=True):
        words += words[-1:] * (min(seconds, math.ceil(at - trace.starts_s)) - len(words))
        words += [value if isinstance(value, str) else ""] * (len(words) < seconds)
    return (words + words[-1:] * seconds)[:seconds]
