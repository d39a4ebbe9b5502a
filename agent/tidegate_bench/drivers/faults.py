"""`tidegate bench driver-faults`: every driver with every file it reads under every fault, over real system calls.

A case passes when each reading is the right value, or unavailable with a reason, or marked as partial; when
nothing is raised, the driver names no defect of its own, and it is back in time. Where the file says that its
device is gone, the right value may also be what the driver reads from a tree whose file is taken away.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_drivers.catalog import LINUX, Driver
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Provenance, Reading
from tidegate_drivers.sensor import Discovery
from tidegate_drivers.testing import device_tree
from tidegate_drivers.testing.fault_mount import mounted
from tidegate_drivers.testing.faults import KINDS

# The slowest file costs 50 ms a read, and a driver reads it a few times.
CASE_DEADLINE_S = 2.0
QUICK_EVERY = 23

Readings = Mapping[str, Reading]


@dataclass(slots=True)
class Tally:
    """What became of the cases of one driver under one kind of fault."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.passed}/{self.passed + len(self.failures)}"


@dataclass(frozen=True, slots=True)
class Case:
    """One file of one tree under one fault, put there before the driver looks, or after a good read."""

    driver: Driver
    tree: str
    file: str
    kind: str
    fault: str
    before: bool

    def __str__(self) -> str:
        when = "before discovery" if self.before else "after a good read"
        return f"{self.driver.name} on {self.tree}: {self.file} {self.fault} {when}"


def run(*, quick: bool) -> Figures:
    """The whole matrix, or with `quick` every 23rd case of it. Raises FaultMountError where FUSE is missing."""
    tallies = {driver.name: {kind: Tally() for kind in KINDS} for driver in LINUX}
    for tree in device_tree.names():
        for case, failure in check_tree(tree, QUICK_EVERY if quick else 1):
            tally = tallies[case.driver.name][case.kind]
            if failure:
                tally.failures.append(f"{case}: {failure}")
            else:
                tally.passed += 1
    rows: list[Mapping[str, Cell]] = [
        {"driver": name, **{f"{kind}: {' '.join(KINDS[kind])}": str(tally) for kind, tally in by.items()}}
        for name, by in tallies.items()
    ]
    every = [tally for by in tallies.values() for tally in by.values()]
    failures = [failure for tally in every for failure in tally.failures]
    rows += [{"driver": f"FAILED {failure}"} for failure in failures[:20]]
    tested = {name for name, by in tallies.items() if any(each.passed or each.failures for each in by.values())}
    return Figures(
        bench="driver-faults",
        rows=rows,
        goals=[
            Goal("cases failed", 0, len(failures), at_least=False),
            Goal("drivers without a case", 0, len(tallies.keys() - tested), at_least=False),
            Goal("cases", 100 if quick else 5000, sum(tally.passed for tally in every)),
        ],
    )


def check_tree(tree: str, every: int = 1) -> Iterator[tuple[Case, str]]:
    """Run one tree's cases (each `every`th) and give each with what went wrong, empty when nothing did."""
    files = device_tree.load(tree)
    with mounted(files) as mount:
        # A value under another name is right when any driver reads it so from the healthy tree.
        healthy = {driver.name: _read(driver.discover(mount.root)) for driver in LINUX}
        for driver in LINUX:
            mount.heal()
            found = driver.discover(mount.root)
            _read(found)
            cases = [
                Case(driver, tree, file, kind, fault, before)
                for file in mount.opened()
                if file in files
                for kind, faults in KINDS.items()
                for fault in faults
                for before in (True, False)
            ]
            right = [healthy[driver.name], *(healthy[other.name] for other in LINUX if other is not driver)]
            for case in islice(cases, 0, None, every):
                mount.fault(case.file, case.fault)
                failure = _check(case, files, right, found if not case.before else None, mount.root)
                mount.heal()
                yield case, failure


def _check(
    case: Case, files: Mapping[str, bytes], right: Sequence[Readings], found: Discovery | None, root: Path
) -> str:
    """What is wrong with what the driver says, as `found` before the fault or (None) as it finds it now."""
    began_at = time.monotonic()
    try:
        given = _read(found or case.driver.discover(root))
    except Exception as error:  # noqa: BLE001  a driver that raises is what is looked for here
        return f"raised {error!r}"
    took_s = time.monotonic() - began_at
    if took_s > CASE_DEADLINE_S:
        return f"took {took_s:.1f} s"
    if case.kind == "gone":
        right = [*right, _read_without(case, files)]
    return "; ".join(filter(None, (_judge(name, reading, right) for name, reading in given.items())))


def _judge(name: str, reading: Reading, right: Sequence[Readings]) -> str:
    if reading.value is None:
        if not reading.reason or reading.reason.startswith("defect"):
            return f"{name} has the reason {reading.reason!r}"
        return ""
    whole = name in right[0] and right[0][name].provenance is Provenance.MEASURED
    if whole and reading.provenance is Provenance.MEASURED_PARTIAL:
        return ""  # less than before, and says so
    # What can't say its name any more is called otherwise; its value must still be one of its kind.
    quantity = name.split("/", maxsplit=1)[0]
    same_name = [readings[name].value for readings in right if name in readings]
    every = [each for readings in right for each in readings.items()]
    same_kind = [each.value for other, each in every if other.startswith(quantity)]
    return "" if reading.value in (same_name or same_kind) else f"{name} says {reading.value}"


def _read(found: Discovery) -> Readings:
    """Every sensor once, and those without a value a second time: a rise takes two looks."""
    first = {sensor.name: read_sensor(sensor) for sensor in found.sensors}
    return {
        sensor.name: first[sensor.name] if first[sensor.name].value is not None else read_sensor(sensor)
        for sensor in found.sensors
    }


def _read_without(case: Case, files: Mapping[str, bytes]) -> Readings:
    with TemporaryDirectory(prefix="tidegate-tree-") as directory:
        root = Path(directory)
        device_tree.write(files, root)
        if case.before:
            (root / case.file).unlink()
        found = case.driver.discover(root)
        _read(found)
        (root / case.file).unlink(missing_ok=True)
        return _read(found)
