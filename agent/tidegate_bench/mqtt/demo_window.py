"""A window of the demo device: a day from the trace, with the processor's and the memory's readings."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache

from tidegate.paths import profiles_directory
from tidegate.telemetry.payloads.window import Window
from tidegate_drivers.reading import Freshness, Provenance, Reading, Unit
from tidegate_drivers.replay import discover
from tidegate_drivers.trace import ReplayTrace


@cache
def demo_readings() -> Mapping[str, Reading]:
    """By name; all are fresh, and of one moment: the trace goes on as it is read."""
    played = discover(ReplayTrace.load(profiles_directory() / "traces" / "field-camera-day.csv"), 60.0)
    readings = {
        sensor.name: Reading(sensor.read(), sensor.unit, 99.0, sensor.provenance, sensor.source)
        for sensor in played.sensors
    }
    others = (
        ("memory_available", 23_520_000_000.0, Unit.BYTE, "meminfo"),
        ("memory_pressure", 0.12, Unit.PERCENT, "psi/memory"),
        ("cpu", 42.47, Unit.PERCENT, "stat"),
    )
    return readings | {
        name: Reading(value, unit, 99.0, Provenance.MEASURED, source) for name, value, unit, source in others
    }


def demo_window() -> Window:
    """With all known that the demo knows."""
    return Window(
        at=1_800_000_100.5,
        s=10.0,
        point="int8",
        policy=7,
        worker="serving",
        restarts=1,
        switches=9,
        risk=0.01,
        requests=250,
        failed=0,
        turned_away=0,
        samples=250,
        p50_ms=1.5,
        p95_ms=2.5,
        skip=0.25,
        weights_bytes=4096,
        energy_j=21.4,
        total_j=18_012.0,
        readings={name: each.value for name, each in demo_readings().items() if each.value is not None},
    )


def lean_bytes() -> int:
    """A window as it travels."""
    return len(_json({**demo_window().to_document(), "seq": 1_000_000}))


def full_bytes() -> int:
    """The same in whole words, with the unit, source and provenance of each reading in every window."""
    readings = {
        name: {
            "value": each.value,
            "unit": each.unit,
            "provenance": each.provenance,
            "source": each.source,
            "freshness": Freshness.FRESH,
            "reason": each.reason,
        }
        for name, each in demo_readings().items()
    }
    return len(_json({**asdict(demo_window()), "readings": readings, "seq": 1_000_000}))


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
