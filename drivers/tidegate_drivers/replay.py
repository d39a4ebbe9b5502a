"""Plays a trace as if it were this device, labelled `replay/<trace>` and estimated in every reading."""

import time
from collections.abc import Callable
from functools import partial

from tidegate_drivers.reading import UNITS, Provenance, Value
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable
from tidegate_drivers.trace import COLUMNS, ReplayTrace, Track

__all__ = ["ReplayTrace", "discover"]

_DRIVER = "replay"
# A compressed day is still a course of a few hundred steps, and never a busy loop.
_STEPS = 150
_INTERVAL_LIMITS_S = (0.1, 2.0)


def discover(
    trace: ReplayTrace,
    span_s: float | None = None,
    *,
    loop: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Discovery:
    """The trace's readings, played from now on within `span_s` seconds (None: in real time).

    Afterwards the last row holds, or the trace begins again with `loop`. Raises ValueError for a span that is
    not positive.
    """
    span_s = trace.duration_s if span_s is None else span_s
    if not span_s > 0:
        raise ValueError(f"a trace is played in a positive number of seconds, not in {span_s:g}")
    began_at = clock()

    def played_s() -> float:
        share = (clock() - began_at) / span_s
        return trace.starts_s + trace.duration_s * (share % 1.0 if loop else min(share, 1.0))

    source = f"{_DRIVER}/{trace.name}"
    interval_s = min(max(span_s / _STEPS, _INTERVAL_LIMITS_S[0]), _INTERVAL_LIMITS_S[1])
    sensors = tuple(
        Sensor(name, UNITS[name], Provenance.ESTIMATED, source, partial(_read, track, played_s), interval_s)
        for name, track in trace.tracks.items()
        if name in UNITS
    )
    unavailable = tuple(
        Unavailable(column.reading, source, f"the trace has no column {key}")
        for key, column in COLUMNS.items()
        if column.reading in UNITS and column.reading not in trace.tracks
    )
    return Discovery(_DRIVER, sensors, unavailable)


def _read(track: Track, played_s: Callable[[], float]) -> Value:
    value = track.at(played_s())
    if value is None:
        raise SensorError("the trace has no value here: the sensor is lost")
    return value
