"""Whether the device has time and charge for a count. Pure."""

from tidegate_drivers.reading import BATTERY, POWER_SOURCE, TEMPERATURE, THERMAL_PRESSURE, Snapshot

LEAST_PERCENT = 50.0
"""Of charge, on a battery: a count can wait, and answers can't."""
BELOW_CELSIUS = 70.0
HOT = frozenset({"serious", "critical"})


def why_not_now(snapshot: Snapshot) -> str | None:
    """Why it waits, in words; None where nothing speaks against it. What no sensor says speaks against nothing."""
    percent, celsius = snapshot.number(BATTERY), snapshot.number(TEMPERATURE)
    if snapshot.word(POWER_SOURCE) != "external" and percent is not None and percent < LEAST_PERCENT:
        return f"on battery at {percent:.0f} %, {LEAST_PERCENT:.0f} % or external power is waited for"
    if celsius is not None and celsius >= BELOW_CELSIUS:
        return f"at {celsius:.0f} °C, less than {BELOW_CELSIUS:.0f} °C is waited for"
    if snapshot.word(THERMAL_PRESSURE) in HOT:
        return f"thermal pressure is {snapshot.word(THERMAL_PRESSURE)}"
    return None
