"""Energy of a piece of work: from counters, from power read beside it, or not at all."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate_drivers.catalog import discover
from tidegate_drivers.energy_meter import Counter, NoMeter, Wattmeter, energy_meter, find_energy_meter
from tidegate_drivers.reading import ENERGY, POWER, Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable
from tidegate_drivers.testing import device_tree


def nothing() -> None:
    """Work that takes no time."""


def broken() -> float:
    raise SensorError("gone")


def sensor(name: str, provenance: Provenance = Provenance.MEASURED) -> Sensor:
    return Sensor(name, Unit.WATT, provenance, f"the {name}", lambda: 1.0)


def test_a_counter_that_fails_or_stands_still_gives_nothing() -> None:
    readings = iter([3.0, 5.5, 7.0, 7.0])
    meter = Counter("counter", lambda: next(readings))
    assert meter.spent_j(nothing) == 2.5
    assert meter.spent_j(nothing) is None
    assert Counter("counter", broken).spent_j(nothing) is None


def test_power_is_read_beside_the_work_and_what_lags_is_left_out() -> None:
    start = time.monotonic()
    # What the meter still shows of the time before is far more than the work draws.
    meter = Wattmeter("shunt", lambda: 1000.0 if time.monotonic() - start < 0.2 else 3.0, lag_s=0.25)
    spent = meter.spent_j(lambda: time.sleep(2 * meter.least_s))
    elapsed = time.monotonic() - start
    assert spent is not None
    assert 3.0 <= spent <= 3.0 * elapsed


def test_work_that_is_over_before_the_meter_follows_has_no_energy() -> None:
    assert Wattmeter("shunt", lambda: 3.0, lag_s=5).spent_j(nothing) is None


def test_a_meter_that_fails_on_the_way_gives_nothing() -> None:
    def readings() -> Iterator[float]:
        yield 3.0
        raise SensorError("gone")

    left = readings()
    assert Wattmeter("shunt", lambda: next(left), lag_s=0).spent_j(lambda: time.sleep(0.3)) is None


def test_a_meter_that_hangs_gives_nothing_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_drivers.energy_meter._JOIN_S", 0.1)
    released = threading.Event()

    def hangs() -> float:
        released.wait(30)
        return 3.0

    start = time.monotonic()
    assert Wattmeter("shunt", hangs, lag_s=0).spent_j(lambda: time.sleep(0.1)) is None
    assert time.monotonic() - start < 10
    released.set()


def test_work_that_fails_fails_as_it_would_alone() -> None:
    def work() -> None:
        raise ValueError("the model's own")

    with pytest.raises(ValueError, match="the model's own"):
        Wattmeter("shunt", lambda: 3.0).spent_j(work)


def test_counters_come_before_power_and_a_battery_s_gauge_is_none() -> None:
    rapl = Discovery("rapl", (sensor(POWER), sensor(ENERGY)))
    jetson = Discovery("jetson", (sensor(POWER),))
    battery = Discovery("power_supply", (sensor(POWER),))
    guess = Discovery("rk3588", (sensor(POWER, Provenance.ESTIMATED),))
    assert energy_meter([battery, jetson, rapl]) == Counter("the energy", rapl.sensors[1].read)
    assert isinstance(energy_meter([battery, jetson]), Wattmeter)
    assert isinstance(energy_meter([battery, guess]), NoMeter)


def test_an_external_meter_comes_before_all_others_and_a_ups_without_power_is_none() -> None:
    rapl = Discovery("rapl", (sensor(POWER), sensor(ENERGY)))
    plug = Discovery("meter", (sensor(POWER),))
    external = energy_meter([plug, rapl])
    assert isinstance(external, Wattmeter)
    assert external.least_s >= 20
    assert isinstance(energy_meter([Discovery("meter", (sensor("power/rack"),)), rapl]), Counter)


def test_a_chip_on_the_bus_is_read_without_a_plug_s_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    plug = Discovery("meter", (sensor(POWER),))
    monkeypatch.setattr("tidegate_drivers.energy_meter.discover", lambda meter: [plug])
    chip, topic = (find_energy_meter(named) for named in ("hwmon://ina219/power1", "mqtt://broker/plug"))
    assert isinstance(chip, Wattmeter)
    assert isinstance(topic, Wattmeter)
    assert 4 * chip.least_s < 20 <= topic.least_s


def test_without_any_the_drivers_own_reason_is_given() -> None:
    refused = Discovery("rapl", unavailable=(Unavailable(ENERGY, "rapl", "only root may read it"),))
    assert energy_meter([refused]) == NoMeter("only root may read it")
    assert "no driver found" in str(energy_meter([]))


@pytest.mark.parametrize(
    ("tree", "source"),
    [
        ("laptop", "rapl/"),
        ("jetson-jetpack-6", "jetson/"),
        ("jetson-agx-orin", "jetson/"),
        ("raspberry-pi-4", None),
    ],
)
def test_boards_measure_with_what_they_have(tree: str, source: str | None, tmp_path: Path) -> None:
    device_tree.write(device_tree.load(tree), tmp_path)
    found = energy_meter(discover(tmp_path))
    if source is None:
        assert isinstance(found, NoMeter)
    else:
        assert not isinstance(found, NoMeter)
        assert found.source.startswith(source)


def test_a_counter_in_sysfs_is_read_around_the_work(tmp_path: Path) -> None:
    device_tree.write(device_tree.load("laptop"), tmp_path)
    found = energy_meter(discover(tmp_path))
    assert isinstance(found, Counter)
    counters = sorted((tmp_path / "sys").rglob("energy_uj"))

    def work() -> None:
        time.sleep(0.15)
        for counter in counters:
            counter.write_text(f"{int(counter.read_text()) + 1_500_000}\n")

    assert found.spent_j(work) == pytest.approx(1.5)
    assert found.spent_j(nothing) is None
