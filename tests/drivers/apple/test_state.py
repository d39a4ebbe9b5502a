"""The macOS driver behind its seam: only the calls into the system itself are not run."""

from collections.abc import Sequence

import pytest
from test_formats import battery

from tidegate_drivers.apple.load_meter import LoadMeter
from tidegate_drivers.apple.state import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import UNITS
from tidegate_drivers.wake import Wake

PMSET = b"Now drawing from 'Battery Power'\n -InternalBattery-0 (id=1)\t42%; discharging; 1:00 remaining\n"


class Mac:
    """A Mac of recordings; what is missing fails as the system would."""

    def __init__(self, ioreg: bytes | None = None, pmset: bytes | None = PMSET, pressure: int = 1) -> None:
        self.ioreg, self.pmset, self.pressure = ioreg, pmset, pressure
        self.thermal_state: int | None = None

    def notify_state(self, key: str) -> int:
        return self.pressure if "thermal" in key else 0

    def open_notice(self, key: str) -> Wake:
        raise OSError(key)

    def process_thermal_state(self) -> int:
        if self.thermal_state is None:
            raise OSError("no NSProcessInfo")
        return self.thermal_state

    def sysctl_int(self, name: str) -> int:
        assert name == "kern.memorystatus_vm_pressure_level"
        return 2

    def output_of(self, command: Sequence[str]) -> bytes:
        text = self.ioreg if command[0] == "ioreg" else self.pmset
        if text is None:
            raise OSError(f"{command[0]} ended with code 1")
        return text


def read(mac: Mac) -> dict[str, float | str | None]:
    return {sensor.name: read_sensor(sensor).value for sensor in discover(mac).sensors}


def test_laptop_on_battery() -> None:
    assert read(Mac(battery())) == {
        "thermal_pressure": "fair",
        "low_power_mode": "no",
        "memory_level": "warn",
        "power_source": "battery",
        "battery": 85.0,
        "battery_state": "discharging",
        "power": pytest.approx(14.808),
        "temperature/battery": 30.69,
    }


def test_draw_is_unknown_on_external_power_and_not_refused() -> None:
    found = {sensor.name: sensor for sensor in discover(Mac(battery(ExternalConnected=True))).sensors}
    assert found["power_source"].read() == "external"
    assert "on external power" in read_sensor(found["power"]).reason


def test_pmset_stands_in_for_the_registry() -> None:
    values = read(Mac(ioreg=None))
    assert (values["battery"], values["power_source"]) == (42.0, "battery")
    assert "power" not in values


def test_process_info_stands_in_for_the_key() -> None:
    mac = Mac(pressure=9)
    for mac.thermal_state, pressure in ((0, "nominal"), (3, "critical"), (4, None), (None, None)):
        assert read(mac).get("thermal_pressure") == pressure


def test_desktop_refuses_what_it_has_not() -> None:
    found = discover(Mac(ioreg=b"", pmset=b"Now drawing from 'AC Power'\n"))
    refused = {missing.name: missing.reason for missing in found.unavailable}
    assert refused["battery"] == "this Mac has no battery"
    assert {sensor.name: sensor.read() for sensor in found.sensors}["power_source"] == "external"
    assert {"cpu", "memory_available"} == UNITS.keys() - refused.keys() - {each.name for each in found.sensors}


def test_nothing_answers() -> None:
    found = discover(Mac(ioreg=None, pmset=None, pressure=9))
    assert {sensor.name for sensor in found.sensors} == {"low_power_mode", "memory_level"}
    assert all(missing.reason for missing in found.unavailable)


def test_load_is_the_mean_of_all_samples_since_the_last_renewal() -> None:
    def told(load_mw: int, summed: int, count: int) -> bytes:
        sums = {"AccumulatedSystemLoad": summed, "SystemLoadAccumulatorCount": count}
        return battery(ExternalConnected=True, PowerTelemetryData={"SystemLoad": load_mw} | sums)

    mac, load = Mac(told(9000, 100_000_000, 5000)), LoadMeter()
    powers = []
    for mac.ioreg in (
        told(9000, 100_000_000, 5000),  # the first: only a sample is known
        told(30_000, 100_300_000, 5050),  # a burst at the end of 50 s
        told(30_000, 100_300_000, 5050),  # not renewed
        told(5000, 40_000, 10),  # reset
        told(5000, 60_000, 15),
    ):
        sensors = {sensor.name: sensor for sensor in discover(mac, load).sensors}
        powers.append((read_sensor(sensors["power"]).value, read_sensor(sensors["power/system"]).value))
    assert powers == [(9.0, 9.0), (6.0, 6.0), (6.0, 6.0), (5.0, 5.0), (4.0, 4.0)]
