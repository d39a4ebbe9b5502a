"""Every sensor once, with a deadline."""

import threading
import time

from tidegate_drivers.reading import BATTERY, CPU, UNITS, Provenance, Value
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable
from tidegate_drivers.survey import read_all_once


def test_values_refusals_and_a_hanging_driver_side_by_side() -> None:
    release = threading.Event()

    def hang() -> Value:
        release.wait(20.0)
        return 1.0

    stuck = Discovery("stuck", (Sensor(BATTERY, UNITS[BATTERY], Provenance.MEASURED, "test", hang),))
    lively = Discovery(
        "lively",
        (Sensor(BATTERY, UNITS[BATTERY], Provenance.MEASURED, "test", lambda: 41.0),),
        (Unavailable(CPU, "stat", "hidden", "show it"),),
    )
    began_at = time.monotonic()
    first, second = read_all_once([stuck, lively], deadline_s=0.3)
    assert time.monotonic() - began_at < 10.0
    assert first.readings[BATTERY].reason == "no answer within 0.3 s"
    assert second.readings[BATTERY].value == 41.0
    assert second.unavailable == lively.unavailable
    release.set()


def test_sensor_that_needs_two_reads_gets_them() -> None:
    reads = iter([SensorError("the first read"), 12.5])

    def read() -> Value:
        answer = next(reads)
        if isinstance(answer, SensorError):
            raise answer
        return answer

    (report,) = read_all_once([Discovery("cpu", (Sensor(CPU, UNITS[CPU], Provenance.MEASURED, "stat", read),))])
    assert report.readings[CPU].value == 12.5
