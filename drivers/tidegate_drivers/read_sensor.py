"""One reading of one sensor, whatever the sensor does short of hanging."""

import math
import time

from tidegate_drivers.clocks import Clock
from tidegate_drivers.reading import Reading, Unit
from tidegate_drivers.sensor import Sensor, SensorError, with_grant

_INTERVALS_TO_STALE = 3
# A busy machine delays a thread by seconds; that alone must not make its readings stale.
_LEAST_MAX_AGE_S = 5.0


def read_sensor(sensor: Sensor, clock: Clock = time.monotonic) -> Reading:
    """One reading now, in the calling thread; unavailable with the reason instead of any exception."""
    at = clock()
    try:
        value = sensor.read()
    except SensorError as error:
        return Reading.unavailable(sensor.unit, at, sensor.source, with_grant(str(error), error.grant))
    except OSError as error:
        return Reading.unavailable(sensor.unit, at, sensor.source, str(error))
    except Exception as error:  # noqa: BLE001  a driver's defect must cost its own reading, not the thread of others
        return Reading.unavailable(sensor.unit, at, sensor.source, f"defect in the driver: {error!r}")
    if isinstance(value, str) != (sensor.unit is Unit.NAME) or (
        not isinstance(value, str) and not math.isfinite(value)
    ):
        return Reading.unavailable(sensor.unit, at, sensor.source, f"defect in the driver: it gave {value!r}")
    kept = value if isinstance(value, str) else float(value)
    max_age_s = max(_LEAST_MAX_AGE_S, _INTERVALS_TO_STALE * sensor.interval_s)
    return Reading(kept, sensor.unit, at, sensor.provenance, sensor.source, max_age_s)
