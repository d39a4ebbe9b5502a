"""One reading of a name out of what several drivers offer."""

from collections.abc import Iterable, Sequence

from tidegate_drivers.reading import UNITS, Freshness, Provenance, Reading, Snapshot, Unit
from tidegate_drivers.sensor import Unavailable


def snapshot_of(
    now: float, offered: Iterable[tuple[str, Reading]], unavailable: Iterable[Unavailable]
) -> Snapshot:
    """The best reading of every name that is offered or unavailable, in the order in which the drivers count."""
    by_name: dict[str, list[Reading]] = {}
    for name, reading in offered:
        by_name.setdefault(name, []).append(reading)
    # What a permission would give comes before what isn't there at all.
    for missing in sorted(unavailable, key=lambda each: not each.grant):
        unit = UNITS.get(missing.name, Unit.NAME)
        reading = Reading.unavailable(unit, now, missing.source, missing.words)
        by_name.setdefault(missing.name, []).append(reading)
    return Snapshot(now, {name: best(name, readings, now) for name, readings in by_name.items()})


def best(name: str, readings: Sequence[Reading], now: float) -> Reading:
    """The first fresh one, else the first with a value, else the first."""
    fresh = (reading for reading in readings if Snapshot(now, {name: reading}).freshness(name) is Freshness.FRESH)
    valued = (reading for reading in readings if reading.provenance is not Provenance.UNAVAILABLE)
    return next(fresh, None) or next(valued, None) or readings[0]
