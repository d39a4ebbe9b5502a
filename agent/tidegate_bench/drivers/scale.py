"""What every driver shows for itself; `python -m tidegate_bench.drivers.scale` prints docs/drivers.md's table.

Bronze: a tree or recordings in its tests, tests of its own and a place in the documentation. Silver: also every
fault of every file it reads, a measured cost, and devices that go and come back. Gold: also a report from a real
device.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tidegate_bench.drivers import trees
from tidegate_drivers.apple.catalog import MACOS
from tidegate_drivers.catalog import HOST, LINUX, LIVE, Driver, meter_driver

ROOT = Path(__file__).parents[3]
HEADING = "| driver | scale | recorded | own tests | documented | faults | cost | comes and goes | real device |"
_RULE = "|---|---|---|---|---|---|---|---|---|"
# Where a driver's tests are called otherwise than the driver.
_TESTS = {"macos": "state", "apple_counters": "counters"}


@dataclass(frozen=True, slots=True)
class DriverLevel:
    """What one driver shows."""

    name: str
    recorded: bool
    own_tests: bool
    documented: bool
    faults: bool
    cost: bool
    comes_and_goes: bool
    real_device: bool

    @property
    def scale(self) -> str:
        """The highest level that the driver reaches with all that is below it."""
        if not (self.recorded and self.own_tests and self.documented):
            return "-"
        if not (self.faults and self.cost and self.comes_and_goes):
            return "bronze"
        return "gold" if self.real_device else "silver"


def driver_levels() -> list[DriverLevel]:
    """All drivers, in the order of the catalog."""
    documentation = (ROOT / "docs/drivers.md").read_text()
    reports = sorted((ROOT / "docs/hardware").glob("*.json"))
    comes_and_goes = {
        driver.name: trees.survives_its_devices(found, root) for driver, found, root in trees.working_drivers()
    }
    return [
        DriverLevel(
            name=driver.name,
            # What reads no tree is tested against recordings in its own tests.
            recorded=driver.name in comes_and_goes or (driver not in LINUX and _has_tests(driver)),
            own_tests=_has_tests(driver),
            documented=f"`{driver.name}`" in documentation.partition(HEADING)[0],
            # The matrix and the cost benchmark go through every driver in every tree.
            faults=driver.name in comes_and_goes,
            # Or a report holds how long each read of it took on a real device.
            cost=driver.name in comes_and_goes or any(driver.name in _timed(report) for report in reports),
            comes_and_goes=comes_and_goes.get(driver.name, False),
            real_device=any(driver.name in _working(report) for report in reports),
        )
        for driver in (*LINUX, meter_driver(None), *LIVE, *(Driver(*each) for each in MACOS), HOST)
    ]


def _working(report: Path) -> set[str]:
    """The drivers that gave a value on the device of a report (tests/hardware)."""
    drivers = json.loads(report.read_text())["drivers"]
    return {
        name
        for name, said in drivers.items()
        if any(reading["value"] is not None for reading in said["readings"].values())
    }


def _timed(report: Path) -> set[str]:
    """The drivers whose reads were timed on the device of a report."""
    return {name for name, took in json.loads(report.read_text()).get("read_ms", {}).items() if took}


def table(of: Iterable[DriverLevel]) -> str:
    """The levels as Markdown."""
    rows = [HEADING, _RULE]
    for each in of:
        shown = (
            each.recorded,
            each.own_tests,
            each.documented,
            each.faults,
            each.cost,
            each.comes_and_goes,
            each.real_device,
        )
        rows.append(f"| {each.name} | {each.scale} | {' | '.join('yes' if fact else 'no' for fact in shown)} |")
    return "\n".join(rows)


def _has_tests(driver: Driver) -> bool:
    name = _TESTS.get(driver.name, driver.name)
    return any((ROOT / "tests/drivers").rglob(f"test_{name}.py"))


if __name__ == "__main__":
    sys.stdout.write(table(driver_levels()) + "\n")
