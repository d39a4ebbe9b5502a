"""AppleSmartBattery of the IORegistry, as `ioreg -a -r -n AppleSmartBattery` prints it.

Intel Macs count MaxCapacity and CurrentCapacity in mAh. On Apple silicon they are percentages (MaxCapacity 100)
and the mAh are under AppleRaw..., so the two pairs are never mixed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate_drivers.apple.plist import RecordError, boolean, load, number

_KEYS = frozenset(
    {"CurrentCapacity", "MaxCapacity", "AppleRawMaxCapacity", "BatteryInstalled", "ExternalConnected"}
)
_MOST_MA = 32_767
_MOST_MAH = 100_000
_MOST_CYCLES = 100_000
_MILLIVOLTS = (1000, 30_000, "mV")
_VOLTAGES = ("Voltage", "AppleRawBatteryVoltage")
# More than any percentage, and less than any battery of a Mac holds.
_LEAST_MAH = 500
# "Full" is an estimate that the charge may pass a little.
_OVERFULL = 1.1
_MOST_HEALTH = 1.5
# The charger of the largest portable gives 140 W; a desktop with such a node may draw more.
_MOST_LOAD_MW = 1_000_000
_CENTIDEGREES = (-4000, 15_000, "hundredths of a degree")


@dataclass(frozen=True, slots=True)
class SmartBattery:
    """One battery's properties. Every method raises RecordError where they don't tell."""

    properties: Mapping[str, object] = field(repr=False)

    def installed(self) -> bool:
        """False where the controller says that it has no battery."""
        return self.properties.get("BatteryInstalled") is not False

    def external(self) -> bool:
        """Whether a charger is connected. Raises RecordError."""
        return boolean(self.properties, "ExternalConnected")

    def percent(self) -> float:
        """The charge in %, 0 to 100. Raises RecordError."""
        faults: list[RecordError] = []
        for now_key, full_key in (
            ("CurrentCapacity", "MaxCapacity"),
            ("AppleRawCurrentCapacity", "AppleRawMaxCapacity"),
        ):
            try:
                full = number(self.properties, full_key, 1, _MOST_MAH)
                return min(100.0, 100.0 * number(self.properties, now_key, 0, full * _OVERFULL) / full)
            except RecordError as error:
                faults.append(error)
        raise faults[0]

    def state(self) -> str:
        """charging, discharging, full or not charging."""
        if self.properties.get("IsCharging") is True:
            return "charging"
        if not self.external():
            return "discharging"
        boolean(self.properties, "IsCharging")
        return "full" if self.properties.get("FullyCharged") is True else "not charging"

    def outflow_w(self) -> float:
        """The power leaving the battery in W; negative while it charges."""
        return -self._milliamperes() * self._millivolts() / 1e6

    def load_w(self) -> float:
        """What the whole machine draws in W, by its power controller: the latest sample, up to a minute old."""
        return number(self._telemetry(), "SystemLoad", 1, _MOST_LOAD_MW, "mW") / 1000

    def load_sums(self) -> tuple[float, float]:
        """The sum of all such samples in mW, and their count."""
        telemetry = self._telemetry()
        summed_mw = number(telemetry, "AccumulatedSystemLoad", 0, math.inf)
        return summed_mw, number(telemetry, "SystemLoadAccumulatorCount", 0, math.inf)

    def energy_wh(self) -> float:
        """What the battery holds in Wh, at its present voltage."""
        now, _ = self._milliampere_hours()
        return now * self._millivolts() / 1e6

    def health_percent(self) -> float:
        """The full charge of now in % of the designed one."""
        _, full = self._milliampere_hours()
        design = number(self.properties, "DesignCapacity", _LEAST_MAH, _MOST_MAH, "mAh")
        if full > design * _MOST_HEALTH:
            raise RecordError(f"a full charge of {full:g} mAh and a design of {design:g} mAh: not both")
        return 100.0 * full / design

    def cycles(self) -> float:
        """Charge cycles so far, at least 1. Raises RecordError."""
        return number(self.properties, "CycleCount", 1, _MOST_CYCLES)

    def celsius(self) -> float:
        """The battery's own temperature in C. Raises RecordError."""
        return number(self.properties, "Temperature", *_CENTIDEGREES) / 100

    def _telemetry(self) -> Mapping[str, object]:
        telemetry = self.properties.get("PowerTelemetryData")
        if not isinstance(telemetry, Mapping):
            raise RecordError("PowerTelemetryData is missing: this Mac does not tell what it draws")
        return telemetry

    def _milliampere_hours(self) -> tuple[float, float]:
        """The charge now and when full, in mAh. Raises RecordError."""
        raw = "AppleRawMaxCapacity" in self.properties
        now_key, full_key = (f"AppleRaw{key}" if raw else key for key in ("CurrentCapacity", "MaxCapacity"))
        full = number(self.properties, full_key, _LEAST_MAH, _MOST_MAH, "mAh")
        return min(full, number(self.properties, now_key, 0, full * _OVERFULL, "mAh")), full

    def _milliamperes(self) -> float:
        value = self.properties.get("Amperage")
        if not isinstance(value, int) or isinstance(value, bool) or abs(signed(value)) > _MOST_MA:
            raise RecordError(f"Amperage is {value!r:.60}, not a number of {-_MOST_MA} to {_MOST_MA} mA")
        return signed(value)

    def _millivolts(self) -> float:
        faults: list[RecordError] = []
        for key in _VOLTAGES:
            try:
                return number(self.properties, key, *_MILLIVOLTS)
            except RecordError as error:
                faults.append(error)
        raise faults[0]


def smart_battery(plist: bytes) -> SmartBattery | None:
    """From what ioreg prints; None where it found no such node. Raises RecordError."""
    if not plist.strip():
        return None
    found = load(plist)
    if found in ([], {}):
        return None
    # With -r it is a list of what was found; without, or in other releases, a node or a tree of nodes.
    waiting = [found]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.keys() & _KEYS:
                return SmartBattery(node)
            waiting.append(node.get("IORegistryEntryChildren"))
        elif isinstance(node, list):
            waiting += node
    raise RecordError(f"ioreg gave {str(found)[:60]}, in which there is no battery")


def signed(number: int) -> int:
    """An integer that some releases print as unsigned two's complement of 64, 32 or 16 bits."""
    for bits in (16, 32, 64):
        if 1 << (bits - 1) <= number < 1 << bits:
            return number - (1 << bits)
    return number
