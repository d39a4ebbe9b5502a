"""The readings that policies know by name: those of the drivers, of serving, and of outside sources."""

import re
from collections.abc import Mapping

from tidegate_drivers.reading import UNITS as DRIVER_UNITS
from tidegate_drivers.reading import Unit

REQUEST_RATE = "request_rate"
LATENCY = "latency"
"""The p95 of inference over the last window, as the worker reports it."""
UNDER_VOLTAGE = "under_voltage"
"""Whether the supply is below what the board needs."""
INPUT = "input"
"""A number that an outside source sends; its readings are named `input/<name>`."""
INPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What an input may be called: one level of an MQTT topic, on which it comes."""

UNITS: Mapping[str, Unit] = {
    **DRIVER_UNITS,
    REQUEST_RATE: Unit.HERTZ,
    LATENCY: Unit.MILLISECOND,
    UNDER_VOLTAGE: Unit.NAME,
    INPUT: Unit.COUNT,
}
