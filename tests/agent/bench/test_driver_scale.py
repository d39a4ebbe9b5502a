"""The table in the documentation is the one that the command prints."""

from agent.bench.driver_scale import HEADING, ROOT, standings, table
from drivers.catalog import LINUX


def test_documented_scale_is_what_the_drivers_show() -> None:
    documentation = (ROOT / "docs/drivers.md").read_text()
    shown = documentation[documentation.index(HEADING) :].strip()
    assert shown == table(standings()), "print it anew: python -m agent.bench.driver_scale"


def test_linux_drivers_are_silver_at_least_and_the_others_bronze() -> None:
    scales = {each.name: each.scale for each in standings()}
    assert {scales[driver.name] for driver in LINUX} <= {"silver", "gold"}
    assert "-" not in scales.values()
