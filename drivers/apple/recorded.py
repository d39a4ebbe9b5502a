"""What macOS prints and counts, as values: pure, and tested against recordings of the documented formats."""

import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.parsers.expat import ExpatError

# OSThermalNotification.h: nominal, moderate, heavy, trapping, sleeping.
_PRESSURES = {0: "nominal", 1: "fair", 2: "serious", 3: "critical", 4: "critical"}
# NSProcessInfoThermalState
_PROCESS_STATES = {0: "nominal", 1: "fair", 2: "serious", 3: "critical"}
# DISPATCH_MEMORYPRESSURE_*
_MEMORY_LEVELS = {1: "normal", 2: "warn", 4: "critical"}
_MOST_MA, _MOST_MV = 50_000, 30_000
_PMSET_SOURCE = re.compile(r"^Now drawing from '([A-Za-z ]+)'", re.MULTILINE)
_PMSET_BATTERY = re.compile(r"^ -InternalBattery-\d+.*?\t(\d{1,3})%;", re.MULTILINE)


class RecordError(ValueError):
    """The text is not what the format says; the message shows it."""


@dataclass(frozen=True, slots=True)
class SmartBattery:
    """AppleSmartBattery of the IORegistry."""

    percent: float
    external: bool
    outflow_w: float
    temperature_c: float | None


@dataclass(frozen=True, slots=True)
class PowerSample:
    """One sample of powermetrics: the power of the chip's parts in W, and its thermal pressure."""

    elapsed_s: float
    power_w: float
    parts_w: Mapping[str, float]
    pressure: str | None


def thermal_pressure(state: int) -> str:
    """The state of com.apple.system.thermalpressurelevel as one of THERMAL_PRESSURES. Raises RecordError."""
    if state not in _PRESSURES:
        raise RecordError(f"thermal pressure level {state}; known are 0 to 4")
    return _PRESSURES[state]


def process_thermal_state(state: int) -> str:
    """NSProcessInfo.thermalState as one of THERMAL_PRESSURES. Raises RecordError."""
    if state not in _PROCESS_STATES:
        raise RecordError(f"thermal state {state}; known are 0 to 3")
    return _PROCESS_STATES[state]


def memory_level(level: int) -> str:
    """kern.memorystatus_vm_pressure_level in words. Raises RecordError."""
    if level not in _MEMORY_LEVELS:
        raise RecordError(f"memory pressure level {level}; known are 1, 2 and 4")
    return _MEMORY_LEVELS[level]


def smart_battery(plist: bytes) -> SmartBattery | None:
    """From `ioreg -arn AppleSmartBattery`; None on a Mac without a battery. Raises RecordError."""
    if not plist.strip():
        return None
    found = _load(plist)
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise RecordError(f"ioreg gave {str(found)[:60]}, not a list with a battery")
    battery = found[0]
    full = _integer(battery, "MaxCapacity", 1, 100_000)
    now = _integer(battery, "CurrentCapacity", 0, full)
    milliamperes = signed(_integer(battery, "Amperage", -_MOST_MA, 1 << 64))
    if abs(milliamperes) > _MOST_MA:
        raise RecordError(f"Amperage is {milliamperes} mA")
    # Negative leaves the battery.
    outflow_w = -milliamperes * _integer(battery, "Voltage", 1000, _MOST_MV) / 1e6
    celsius = battery.get("Temperature")
    return SmartBattery(
        percent=100.0 * now / full,
        external=battery.get("ExternalConnected") is True,
        outflow_w=outflow_w,
        temperature_c=celsius / 100 if isinstance(celsius, int) and -4000 <= celsius <= 15_000 else None,
    )


def signed(number: int) -> int:
    """An integer that some releases print as unsigned 64-bit two's complement."""
    return number - (1 << 64) if number >= 1 << 63 else number


def pmset_battery(text: str) -> tuple[str, float | None]:
    """Power source and charge in % (None without a battery) from `pmset -g batt`. Raises RecordError."""
    source = _PMSET_SOURCE.search(text)
    words = {"Battery Power": "battery", "AC Power": "external", "UPS Power": "external"}
    if source is None or source[1] not in words:
        raise RecordError(f"pmset says {text[:60]!r}, not what it draws from")
    charge = _PMSET_BATTERY.search(text)
    if charge is not None and int(charge[1]) > 100:
        raise RecordError(f"pmset says {charge[1]} %")
    return words[source[1]], float(charge[1]) if charge else None


def power_sample(plist: bytes) -> PowerSample:
    """From one plist of `powermetrics -f plist`, milliwatts there. Raises RecordError."""
    sample = _load(plist)
    processor = sample.get("processor") if isinstance(sample, dict) else None
    if not isinstance(sample, dict) or not isinstance(processor, dict):
        raise RecordError("the sample has no processor")
    parts_w = {
        name: _milliwatts(processor, f"{name}_power")
        for name in ("cpu", "gpu", "ane")
        if f"{name}_power" in processor
    }
    if "combined_power" in processor:
        power_w = _milliwatts(processor, "combined_power")
    elif "cpu" in parts_w and "gpu" in parts_w:
        power_w = sum(parts_w.values())
    else:
        raise RecordError(f"the processor names no combined_power, only {', '.join(sorted(processor))[:80]}")
    pressure = sample.get("thermal_pressure")
    words = {"Nominal": "nominal", "Moderate": "fair", "Heavy": "serious", "Trapping": "critical"}
    return PowerSample(
        elapsed_s=_integer(sample, "elapsed_ns", 1, 1 << 62) / 1e9,
        power_w=power_w,
        parts_w=parts_w,
        pressure=words.get(pressure) if isinstance(pressure, str) else None,
    )


def _load(plist: bytes) -> object:
    try:
        return plistlib.loads(plist)
    except (plistlib.InvalidFileException, ExpatError, ValueError, OverflowError) as error:
        raise RecordError(f"no property list: {plist[:40]!r}") from error


def _integer(of: Mapping[str, object], key: str, low: int, high: int) -> int:
    value = of.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RecordError(f"{key} is {value!r}, not a number of {low} to {high}")
    return value


def _milliwatts(of: Mapping[str, object], key: str) -> float:
    value = of.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e6:
        raise RecordError(f"{key} is {value!r}, not milliwatts")
    return value / 1000
