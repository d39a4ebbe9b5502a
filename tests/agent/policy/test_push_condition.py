"""The condition of a push, by readings: it holds, it does not, or it can't be told, which is no."""

from datetime import UTC, datetime

import pytest

from tidegate.documents import DocumentError
from tidegate.policy.push_condition import read_condition
from tidegate_drivers.reading import BATTERY, POWER_SOURCE, Provenance, Reading, Snapshot

NOON = datetime(2027, 6, 1, 12, tzinfo=UTC)


def snapshot(**values: float | str) -> Snapshot:
    names = {"battery": (BATTERY, "%"), "power_source": (POWER_SOURCE, "")}
    readings = {
        names[name][0]: Reading(value, names[name][1], 100.0, Provenance.MEASURED, "test", 60.0)
        for name, value in values.items()
    }
    return Snapshot(100.0, readings)


@pytest.mark.parametrize(
    ("text", "readings", "holds"),
    [
        ("{power_source: external}", {"power_source": "external"}, True),
        ("{power_source: external}", {"power_source": "battery"}, False),
        ("{power_source: external}", {}, False),
        ("{not: {power_source: external}}", {}, False),
        ("{battery: {above: 50 %, until: 40 %}}", {"battery": 51.0}, True),
        ("{battery: {above: 50 %, until: 40 %}}", {"battery": 45.0}, False),
        ("{any: [{power_source: external}, {battery: {above: 50 %, until: 50 %}}]}", {"battery": 60.0}, True),
        ('{all: [{power_source: external}, {time: ["11:00", "13:00"]}]}', {"power_source": "external"}, True),
        ('{time: ["13:00", "11:00"]}', {}, False),
    ],
)
def test_it_holds_by_what_is_read(text: str, readings: dict[str, float | str], holds: bool) -> None:
    assert read_condition(text, "--when").holds(snapshot(**readings), NOON) is holds


@pytest.mark.parametrize("text", ["", "charging", "{batery: {above: 1 %, until: 1 %}}", "[1]", "{time: lunch}"])
def test_what_is_none_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(DocumentError, match="--when"):
        read_condition(text, "--when")
