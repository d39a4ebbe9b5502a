"""A count waits for charge and for a cool device, and for nothing that no sensor tells of."""

import pytest

from tidegate.supervisor.recount.conditions import why_not_now
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit


def snapshot(**values: float | str) -> Snapshot:
    units = {"battery": Unit.PERCENT, "temperature": Unit.CELSIUS}
    return Snapshot(
        100.0,
        {
            name: Reading(value, units.get(name, Unit.NAME), 99.0, Provenance.MEASURED, "made up")
            for name, value in values.items()
        },
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, None),
        ({"battery": 20.0, "power_source": "battery"}, "on battery at 20 %"),
        ({"battery": 20.0}, "on battery at 20 %"),
        ({"battery": 20.0, "power_source": "external"}, None),
        ({"battery": 80.0, "power_source": "battery"}, None),
        ({"power_source": "external", "temperature": 75.0}, "at 75 °C"),
        ({"temperature": 40.0}, None),
        ({"thermal_pressure": "serious"}, "thermal pressure is serious"),
        ({"thermal_pressure": "fair"}, None),
    ],
)
def test_when_it_waits(values: dict[str, float | str], words: str | None) -> None:
    found = why_not_now(snapshot(**values))
    assert found is None if words is None else words in (found or "")
