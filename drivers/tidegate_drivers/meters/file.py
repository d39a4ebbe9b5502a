"""A meter that another program writes to a file."""

import time
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.sysfs import read_text
from tidegate_drivers.meters import watts
from tidegate_drivers.reading import POWER, Provenance, Unit
from tidegate_drivers.sensor import Sensor, SensorError

OLDEST_S = 15.0
"""A file that was not written for longer is no measurement of now."""


def sensor(path: Path, key: str) -> Sensor:
    """`power` from a file that another program writes; `key` leads to the number in JSON."""
    return Sensor(POWER, Unit.WATT, Provenance.MEASURED, f"meter/{path}", partial(read_w, path, key))


def read_w(path: Path, key: str) -> float:
    """The power in W. Raises SensorError, also for a file older than OLDEST_S, and OSError."""
    text = read_text(path)
    age_s = time.time() - path.stat().st_mtime
    if age_s > OLDEST_S:
        raise SensorError(f"{path} was last written {age_s:.0f} s ago")
    try:
        return watts.parse(text, key)
    except ValueError as error:
        raise SensorError(f"{path}: {error}") from error
