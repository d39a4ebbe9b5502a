"""One sample of `powermetrics -f plist`: the power of the chip's parts, and its thermal pressure.

Keys by release: `*_power` in mW and `combined_power` since macOS 13, `*_energy` in mJ over the sample with
`package_energy` on 12 and before; on Intel `package_watts` or `package_joules`, which the processor itself counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate_drivers.apple.levels import thermal_pressure_word
from tidegate_drivers.apple.plist import RecordError, load, number

PARTS = ("cpu", "gpu", "ane")

_MOST_W = 1000.0
_LEAST_S, _MOST_S = 1e-3, 1e5
# Each number is rounded by itself.
_ROUNDING = 0.02
_ROUNDING_W = 0.005


@dataclass(frozen=True, slots=True)
class PowerSample:
    """In W. What the sample does not tell is None or absent; `reasons` says why, by part, `power`, `pressure`."""

    power_w: float | None
    parts_w: Mapping[str, float]
    pressure: str | None
    reasons: Mapping[str, str] = field(default_factory=dict)


def power_sample(plist: bytes) -> PowerSample:
    """From one property list. Raises RecordError for what is not a sample at all."""
    sample = load(plist)
    if isinstance(sample, list) and sample:
        sample = sample[-1]
    if not isinstance(sample, dict):
        raise RecordError(f"{plist[:40]!r} is not a sample")
    reasons: dict[str, str] = {}
    parts_w: dict[str, float] = {}
    processor = sample.get("processor")
    elapsed_s = _elapsed_s(sample)
    if not isinstance(processor, dict):
        reasons["power"] = "the sample has no processor"
        processor = {}
    for part in PARTS:
        try:
            parts_w[part] = _part_w(processor, part, elapsed_s)
        except RecordError as error:
            reasons[part] = str(error)
    pressure = power_w = None
    try:
        pressure = thermal_pressure_word(sample["thermal_pressure"])
    except KeyError:
        reasons["pressure"] = "powermetrics names no thermal pressure"
    except RecordError as error:
        reasons["pressure"] = str(error)
    try:
        power_w = _whole_w(processor, parts_w, reasons, elapsed_s)
    except RecordError as error:
        reasons.setdefault("power", str(error))
    return PowerSample(power_w, parts_w, pressure, reasons)


def _elapsed_s(sample: Mapping[str, object]) -> float | None:
    try:
        return number(sample, "elapsed_ns", _LEAST_S * 1e9, _MOST_S * 1e9) / 1e9
    except RecordError:
        return None


def _part_w(processor: Mapping[str, object], part: str, elapsed_s: float | None) -> float:
    watts = _watts(processor, part, elapsed_s)
    if part == "cpu" and watts == 0:
        raise RecordError("the CPU counts 0, as on early releases of macOS 27, and yet it runs this very program")
    return watts


def _watts(processor: Mapping[str, object], part: str, elapsed_s: float | None) -> float:
    """By power, else by energy over the sample; a 0 of one is given up for the other."""
    faults: list[RecordError] = []
    zero = False
    over_s = {"power": 1.0, "energy": elapsed_s, "watts": 1.0, "joules": elapsed_s}
    for kind, span_s in over_s.items():
        key = f"{part}_{kind}"
        if key not in processor:
            continue
        scale = 1e3 if kind in ("power", "energy") else 1.0
        try:
            watts = number(processor, key, 0, math.inf) / scale / _told(span_s)
        except RecordError as error:
            faults.append(error)
            continue
        if watts > _MOST_W:
            faults.append(RecordError(f"{key} means {watts:g} W"))
        elif watts > 0:
            return watts
        else:
            zero = True
    if zero:
        return 0.0
    raise faults[0] if faults else RecordError(f"powermetrics names no power of the {part} on this chip")


def _told(span_s: float | None) -> float:
    if span_s is None:
        raise RecordError("the sample doesn't tell over how long its energy was used")
    return span_s


def _whole_w(
    processor: Mapping[str, object],
    parts_w: Mapping[str, float],
    reasons: Mapping[str, str],
    elapsed_s: float | None,
) -> float:
    """The chip's power. Raises RecordError where the CPU is not in it."""
    # Intel's is one counter of the processor's own; Apple's is the sum of the parts, with or without the CPU.
    if "package_watts" in processor or "package_joules" in processor:
        watts = _watts(processor, "package", elapsed_s)
        if watts == 0:
            raise RecordError("the package counts 0, and yet it runs")
        return watts
    if "cpu" not in parts_w:
        raise RecordError(f"without the CPU there is no power of the chip: {reasons['cpu']}")
    named_w = sum(parts_w.values())
    for name in ("combined", "package"):
        try:
            whole_w = _watts(processor, name, elapsed_s)
        except RecordError:
            continue
        # One that is less than its parts leaves some out.
        if whole_w >= named_w * (1 - _ROUNDING) - _ROUNDING_W:
            return whole_w
    named = {key.partition("_")[0] for key in processor}
    missing = [part for part in PARTS if part not in parts_w and (part == "gpu" or part in named)]
    if missing:
        raise RecordError(f"neither the total nor all parts are given: {reasons[missing[0]]}")
    try:
        return named_w + _watts(processor, "dram", elapsed_s)
    except RecordError:
        return named_w
