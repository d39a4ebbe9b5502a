"""Temperatures that are said whatever the heat: what drivers give where nothing is measured."""

import re
from pathlib import Path

from tidegate_drivers.linux.sysfs import OutOfRangeError

# The over-temperature alarm of a Qualcomm power chip knows stages. Without an ADC channel it says DEFAULT_TEMP for
# as long as stage 0 lasts, and then one of its thresholds (drivers/thermal/qcom/qcom-spmi-temp-alarm.c): those
# count. Maxim's alarm, on Tegra boards, says MAX77620_NORMAL_OPERATING_TEMP (drivers/thermal/max77620_thermal.c).
# A DS18B20 says 85 C from power-on to its first conversion (its data sheet).
_CONSTANTS = (
    (re.compile(r"(pm[a-z]{0,2}[0-9]|smb[0-9]|pmic).*", re.IGNORECASE), 37_000),
    (re.compile(r"(max77[0-9]|pmic).*", re.IGNORECASE), 100_000),
    (re.compile(r"w1_slave_temp.*"), 85_000),
)
# The ends of registers of 8 to 12 bits, with which chips answer where no diode is wired, and that of a table of
# thermistors (drivers/iio/adc/qcom-vadc-common.c) where there is none.
_NOT_WIRED = frozenset({127_000, 127_500, 127_750, 127_875, 127_937, -40_000})


def refuse_constant(name: str, millidegrees: int, path: Path) -> None:
    """Raise OutOfRangeError for what a zone or chip of this name says whatever the heat."""
    if millidegrees in _NOT_WIRED:
        raise OutOfRangeError(f"{path} says {millidegrees} millidegrees, as without a sensor")
    if any(millidegrees == constant and names.fullmatch(name) for names, constant in _CONSTANTS):
        raise OutOfRangeError(
            f"{path} says {millidegrees} millidegrees, a constant of its driver, not a measurement"
        )
