"""RAPL counters that rise, wrap, are denied and overlap."""

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tidegate_drivers.clocks import Clocks
from tidegate_drivers.linux.rapl import discover
from tidegate_drivers.linux.rapl_meter import Books, Meter
from tidegate_drivers.linux.rapl_zones import Domain, domains, total_of
from tidegate_drivers.reading import Provenance
from tidegate_drivers.sensor import SensorError
from tidegate_drivers.testing import device_tree

WriteTree = Callable[[str], Path]

CLASS = "sys/class/powercap"
PACKAGE = f"""
    {CLASS}/intel-rapl:0/name: package-0
    {CLASS}/intel-rapl:0/energy_uj: 990000000
    {CLASS}/intel-rapl:0/max_energy_range_uj: 1000000000
    {CLASS}/intel-rapl:0:0/name: core
    {CLASS}/intel-rapl:0:0/energy_uj: 500000000
    {CLASS}/intel-rapl:0:0/max_energy_range_uj: 1000000000
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> Clocks:
        return Clocks(self.now, self.now)


def test_power_is_the_rise_of_the_counter_over_its_wrap(write_tree: WriteTree) -> None:
    root = write_tree(PACKAGE)
    clock = Clock()
    meter = Meter([Domain(root / CLASS / "intel-rapl:0", "package-0", top=True)], clock)
    with pytest.raises(SensorError, match="this was the first"):
        meter.power_w()
    clock.now = 2.0
    write_tree(f"{CLASS}/intel-rapl:0/energy_uj: 20000000")
    assert meter.power_w() == pytest.approx(15.0)
    assert meter.energy_j() == pytest.approx(30.0)


@pytest.mark.parametrize("wraps_at", ["0", "?"])
def test_step_back_without_a_known_range_is_no_power(write_tree: WriteTree, wraps_at: str) -> None:
    root = write_tree(PACKAGE + f"{CLASS}/intel-rapl:0/max_energy_range_uj: {wraps_at}")
    clock = Clock()
    meter = Meter([Domain(root / CLASS / "intel-rapl:0", "package-0", top=True)], clock)
    for energy_uj in ("990000000", "20000000"):
        write_tree(f"{CLASS}/intel-rapl:0/energy_uj: {energy_uj}")
        with pytest.raises(SensorError):
            meter.power_w()
        clock.now += 2.0
    write_tree(f"{CLASS}/intel-rapl:0/energy_uj: 40000000")
    assert meter.power_w() == pytest.approx(10.0)


def test_total_counts_nothing_twice(write_tree: WriteTree) -> None:
    root = write_tree(
        PACKAGE
        + f"""
        {CLASS}/intel-rapl:1/name: package-1
        {CLASS}/intel-rapl:1/energy_uj: 1
        {CLASS}/intel-rapl-mmio:0/name: package-0
        {CLASS}/intel-rapl-mmio:0/energy_uj: 2
        """
    )
    found, _ = domains(root)
    assert [domain.name for domain in found] == ["package-0", "package-1", "package-0/core"]
    assert [domain.name for domain in total_of(found)] == ["package-0", "package-1"]
    found, _ = domains(write_tree(f"{CLASS}/intel-rapl:a/name: psys\n    {CLASS}/intel-rapl:a/energy_uj: 3"))
    assert [domain.name for domain in total_of(found)] == ["psys"]


def test_processors_are_only_part_of_the_machine(write_tree: WriteTree) -> None:
    sensors = {sensor.name: sensor for sensor in discover(write_tree(PACKAGE)).sensors}
    assert sensors["power"].provenance is Provenance.MEASURED_PARTIAL
    assert sensors["power/package-0"].provenance is Provenance.MEASURED


def test_zones_that_lie_in_each_other_are_found(write_tree: WriteTree) -> None:
    inner = f"{CLASS}/intel-rapl/intel-rapl:0"
    found, _ = domains(
        write_tree(
            f"""
            {inner}/name: package-0
            {inner}/energy_uj: 1
            {inner}/intel-rapl:0:0/name: dram
            {inner}/intel-rapl:0:0/energy_uj: 2
            """
        )
    )
    assert [domain.name for domain in found] == ["package-0", "package-0/dram"]


def test_denied_counter_comes_with_the_rule_that_grants_it() -> None:
    am_root = os.geteuid() == 0  # whom no mode stops: read as nobody, who may not enter pytest's directories
    with TemporaryDirectory() as directory:
        root = Path(directory)
        root.chmod(0o755)
        device_tree.write(device_tree.parse(PACKAGE), root)
        for zone in ("intel-rapl:0", "intel-rapl:0:0"):
            (root / CLASS / zone / "energy_uj").chmod(0o400 if am_root else 0)
        if am_root:
            os.seteuid(65534)
        try:
            found = discover(root)
        finally:
            if am_root:
                os.seteuid(0)
    assert not found.sensors
    refused = {missing.name: missing for missing in found.unavailable}
    assert "energy_uj may not be read by this user (EACCES)" in refused["power"].reason
    assert "udev" in refused["power"].grant


def test_part_of_a_package_that_mmio_counts_again_is_left_out(write_tree: WriteTree) -> None:
    found, _ = domains(
        write_tree(
            PACKAGE
            + f"""
            {CLASS}/intel-rapl-mmio:0/name: package-0
            {CLASS}/intel-rapl-mmio:0/energy_uj: 1
            {CLASS}/intel-rapl-mmio:0:0/name: core
            {CLASS}/intel-rapl-mmio:0:0/energy_uj: 2
            """
        )
    )
    assert [domain.name for domain in found] == ["package-0", "package-0/core"]


def test_of_several_platform_counters_none_is_the_whole(write_tree: WriteTree) -> None:
    found, _ = domains(
        write_tree(
            PACKAGE
            + f"""
            {CLASS}/intel-rapl:1/name: psys
            {CLASS}/intel-rapl:1/energy_uj: 1
            {CLASS}/intel-rapl:b/name: psys-1
            {CLASS}/intel-rapl:b/energy_uj: 2
            """
        )
    )
    assert [domain.name for domain in total_of(found)] == ["package-0"]


def test_platform_that_counts_less_than_its_packages_is_given_up(write_tree: WriteTree) -> None:
    root = write_tree(PACKAGE + f"{CLASS}/intel-rapl:1/name: psys\n    {CLASS}/intel-rapl:1/energy_uj: 1000000")
    clock = Clock()
    books = Books()
    for zone in ("intel-rapl:0", "intel-rapl:1"):
        domain = Domain(root / CLASS / zone, zone, top=True)
        books.meters[f"total {domain.path}"] = Meter([domain], clock)
    before = {sensor.name: sensor for sensor in discover(root, books).sensors}
    with pytest.raises(SensorError, match="this was the first"):
        before["power"].read()
    clock.now = 2.0
    write_tree(f"{CLASS}/intel-rapl:0/energy_uj: 20000000\n    {CLASS}/intel-rapl:1/energy_uj: 1100000")
    with pytest.raises(SensorError, match="less than the packages"):
        before["power"].read()
    with pytest.raises(SensorError, match="less than the packages"):
        before["energy"].read()
    found = discover(root, books)
    sensors = {sensor.name: sensor for sensor in found.sensors}
    assert (sensors["power"].source, sensors["power"].read()) == ("rapl/package-0", pytest.approx(15.0))
    assert sensors["energy"].read() == pytest.approx(30.0)
    assert "power/psys" not in sensors
    assert "counts less than the packages" in found.unavailable[0].reason


class TimedBooks(Books):
    """Books whose meters go by a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()

    def meter(self, use: str, of: Sequence[Domain]) -> Meter:
        key = f"{use} {'+'.join(str(domain.path) for domain in of)}"
        return self.meters.setdefault(key, Meter(of, self.clock))


def dies_w(write_tree: WriteTree, names: Sequence[str], looks: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The power of the last second and the energy, from counters in J, one row of them a second."""
    books = TimedBooks()
    for second, counters in enumerate(looks):
        books.clock.now = float(second)
        lines = [
            f"{CLASS}/intel-rapl:{index}/name: {name}\n{CLASS}/intel-rapl:{index}/energy_uj: {joules * 1e6:.0f}"
            for index, (name, joules) in enumerate(zip(names, counters, strict=True))
        ]
        sensors = {sensor.name: sensor for sensor in discover(write_tree("\n".join(lines)), books).sensors}
        if second < len(looks) - 1:
            with contextlib.suppress(SensorError):
                sensors["power"].read()
    return float(sensors["power"].read()), float(sensors["energy"].read())


@pytest.mark.parametrize("dies", [2, 4])
def test_dies_that_answer_with_the_sockets_counter_are_counted_once(write_tree: WriteTree, dies: int) -> None:
    names = [f"package-0-die-{die}" for die in range(dies)]
    looks = [[1000.0] * dies, [1072.0] * dies, [1150.3] * dies]
    assert dies_w(write_tree, names, looks[:2]) == pytest.approx((72.0, 72.0))
    assert dies_w(write_tree, names, looks) == pytest.approx((78.3, 150.3))


def test_mirrored_dies_of_two_sockets_are_two_counters(write_tree: WriteTree) -> None:
    names = [f"package-{package}-die-{die}" for package in (0, 1) for die in (0, 1)]
    # The sockets stand at the same number for once, and are two all the same.
    assert dies_w(write_tree, names, [[500, 500, 500, 500], [560, 560, 555, 555]])[0] == pytest.approx(115.0)


@pytest.mark.parametrize(
    "looks",
    [
        [[50, 80], [140, 150]],
        [[50, 50], [140, 120]],  # just started: they stand together by chance
        [[50, 80], [120, 150]],  # and rise together by chance
    ],
)
def test_dies_with_counters_of_their_own_are_summed(write_tree: WriteTree, looks: list[list[float]]) -> None:
    rise = sum(looks[1]) - sum(looks[0])
    assert dies_w(write_tree, ["package-0-die-0", "package-0-die-1"], looks)[0] == pytest.approx(rise)


def test_packages_that_stand_together_are_two(write_tree: WriteTree) -> None:
    assert dies_w(write_tree, ["package-0", "package-1"], [[10, 10], [40, 40]])[0] == pytest.approx(60.0)


def test_platform_is_held_against_mirrored_dies_once(write_tree: WriteTree) -> None:
    names = ["package-0-die-0", "package-0-die-1", "psys"]
    assert dies_w(write_tree, names, [[10, 10, 5], [70, 70, 90], [130, 130, 175]])[0] == pytest.approx(85.0)
