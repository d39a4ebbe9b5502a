"""What every driver shows for itself: `python -m agent.bench.driver_scale` prints the table of docs/drivers.md.

Bronze: a tree or a recording, tests of its own and a page of documentation. Silver: also every fault of every file
it reads, and devices that come and go. Gold: also a report from a real device.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.bench import device_tree
from drivers.catalog import LINUX, LIVE, MACOS, Driver, meter_driver

ROOT = Path(__file__).parents[2]
HEADING = "| driver | scale | recorded | own tests | documented | faults | comes and goes | real device |"
_RULE = "|---|---|---|---|---|---|---|---|"
# Where a driver's tests are called otherwise than the driver.
_TESTS = {"macos": "state", "apple_counters": "counters"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What one driver shows."""

    name: str
    recorded: bool
    own_tests: bool
    documented: bool
    faults: bool
    comes_and_goes: bool
    real_device: bool

    @property
    def scale(self) -> str:
        """The highest level that the driver reaches with all that is below it."""
        if not (self.recorded and self.own_tests and self.documented):
            return "-"
        if not (self.faults and self.comes_and_goes):
            return "bronze"
        return "gold" if self.real_device else "silver"


def standings() -> list[Standing]:
    """All drivers, in the order of the catalog."""
    documentation = (ROOT / "docs/drivers.md").read_text()
    in_trees, look_again = _in_trees()
    return [
        Standing(
            name=driver.name,
            recorded=driver.name in in_trees or driver not in LINUX,
            own_tests=_has_tests(driver),
            documented=f"`{driver.name}`" in documentation.partition(HEADING)[0],
            faults=driver.name in in_trees,
            comes_and_goes=driver.name in look_again,
            real_device=any((ROOT / "docs/hardware").glob(f"{driver.name}-*.json")),
        )
        for driver in (*LINUX, meter_driver(None), *LIVE, *MACOS)
    ]


def table(of: Iterable[Standing]) -> str:
    """The standings as Markdown."""
    rows = [HEADING, _RULE]
    for each in of:
        shown = (
            each.recorded,
            each.own_tests,
            each.documented,
            each.faults,
            each.comes_and_goes,
            each.real_device,
        )
        rows.append(f"| {each.name} | {each.scale} | {' | '.join('yes' if fact else 'no' for fact in shown)} |")
    return "\n".join(rows)


def _in_trees() -> tuple[set[str], set[str]]:
    """The drivers that read some tree, and those of them that look anew when devices change."""
    reading: set[str] = set()
    looking: set[str] = set()
    for name in device_tree.names():
        with TemporaryDirectory(prefix="tidegate-tree-") as directory:
            device_tree.write(device_tree.load(name), Path(directory))
            for driver in LINUX:
                found = driver.discover(Path(directory))
                if found.sensors:
                    reading.add(driver.name)
                if found.sensors and found.again is not None:
                    looking.add(driver.name)
    return reading, looking


def _has_tests(driver: Driver) -> bool:
    name = _TESTS.get(driver.name, driver.name)
    return any((ROOT / "tests/drivers").rglob(f"test_{name}.py"))


if __name__ == "__main__":
    sys.stdout.write(table(standings()) + "\n")
