"""Every board's tree, read as a whole: what must come out, and nothing that must not."""

from pathlib import Path

import pytest

from tidegate_drivers.catalog import discover
from tidegate_drivers.reading import Provenance, Reading
from tidegate_drivers.survey import read_all_once
from tidegate_drivers.testing import device_tree

EXPECTED: dict[str, dict[str, float | str | None]] = {
    "laptop": {
        "power_source": "battery",
        "battery": 50.0,
        "power": 12.3,
        "temperature": 62.0,  # coretemp knows better than the idle acpitz
        "thermal_pressure": "nominal",  # x86_pkg_temp's trip point only asks for a notice
        "temperature/iwlwifi_1": None,
        "energy_counter/psys": 223.456789,
        "energy_counter/package-0": 123.456789,  # of the MSR, not of MMIO
        "memory_available": 3_326_083_072.0,  # 4 GiB less 1 GiB in use, of which 100 MiB are idle file pages
        "throttled": "yes",  # its cooling device is at work; the counters have not risen
        "throttle_count/core": 7.0,
        "throttle_count/package": 7.0,
        "cooling/Processor": 100.0,
        "cooling/intel_powerclamp": None,
        "frequency_limit/policy1": 2e9,
        "platform_profile": "balanced",
    },
    "server": {
        "power": 213.0,
        "throttled": None,
        "temperature": 68.0,  # Tctl is Tdie with an offset
        "memory_available": 1_073_741_824.0,
        "energy_counter/package-1/dram": 0.7,
        "frequency/policy0": 2.8e9,
    },
    "raspberry-pi-4": {
        "temperature": 71.575,
        "under_voltage": "yes",
        "thermal_pressure": "nominal",
        "throttled": "yes",
    },
    "raspberry-pi-5": {
        "temperature": 82.5,
        "under_voltage": "no",
        "thermal_pressure": "serious",
        "throttled": "yes",
    },
    "jetson-jetpack-4": {"power": 2.843, "power/POM_5V_CPU": 0.5, "temperature": 45.5},
    "jetson-jetpack-6": {
        "power": 5.015552,
        "throttle_count/oc3": 12.0,
        "throttled": "no",
        "temperature": 51.0,
        "gpu/17000000.gpu": 43.7,
        "frequency/17000000.gpu": 6.12e8,
    },
    "jetson-agx-orin": {"power": 9.0, "temperature": 48.0},
    "jetson-thor-jetpack-7": {"power": 29.7, "power/VDD_GPU": 6.0},
    "rk3588": {
        "npu": 10.0,
        "temperature": 48.076,
        "frequency/policy4": 816e6,
        "power": None,
        "gpu/fb000000.gpu": 28.0,
        "frequency/fb000000.gpu": 3e8,
        "npu/fdab0000.npu": None,  # its devfreq says 0 at any load
        "frequency/fdab0000.npu": 1e9,
    },
    "arc-desktop": {
        "power": None,  # a card is not the machine
        "energy_counter/xe/card": 512_250.0,
        "energy_counter/xe/pkg": 401_500.0,
        "temperature/xe/pkg": 61.0,
        "frequency/card0/gt0": 1.15e9,
        "frequency/card1/tile0/gt0": 2.4e9,
        "frequency/card1/tile0/gt1": None,  # asleep
        "frequency/accel0": 1.85e9,
        "throttle_reason/card0/gt0": "pl1",
        "throttle_reason/card1/tile0/gt0": "pl1+thermal",
        "throttled": "yes",
    },
}

ABSENT = {
    "laptop": (
        "battery/hidpp_battery_0",
        "temperature/nct6798/AUXTIN0",
        "voltage/nct6798/in0",
        "voltage/BAT0/in0",
    ),
    "server": ("temperature/k10temp@hwmon0/Tctl",),
    "jetson-jetpack-4": ("temperature/PMIC-Die",),
    "jetson-jetpack-6": ("voltage/ina3221/in4", "voltage/ina3221/sum of shunt voltages"),
    "rk3588": ("frequency/dmc", "gpu/dmc"),
    "jetson-agx-orin": ("power/NC", "current/ina3221@hwmon4/NC", "current/ina3221@hwmon4/curr1"),
}


def read(name: str, root: Path) -> dict[str, list[Reading]]:
    device_tree.write(device_tree.load(name), root)
    readings: dict[str, list[Reading]] = {}
    for report in read_all_once(discover(root)):
        for reading_name, reading in report.readings.items():
            readings.setdefault(reading_name, []).append(reading)
        for missing in report.unavailable:
            assert missing.reason, missing
    return readings


@pytest.mark.parametrize("name", device_tree.names())
def test_tree_is_read_right(name: str, tmp_path: Path) -> None:
    readings = read(name, tmp_path)
    for reading, value in EXPECTED[name].items():
        given = next((each.value for each in readings.get(reading, []) if each.value is not None), None)
        assert given == (pytest.approx(value) if isinstance(value, float) else value), reading
    assert not readings.keys() & set(ABSENT.get(name, ()))
    assert all(each.reason for given in readings.values() for each in given if each.value is None)


@pytest.mark.parametrize("name", device_tree.names())
def test_no_driver_gives_a_name_twice(name: str, tmp_path: Path) -> None:
    device_tree.write(device_tree.load(name), tmp_path)
    for found in discover(tmp_path):
        names = [sensor.name for sensor in found.sensors]
        assert sorted(names) == sorted(set(names)), found.driver


def test_sum_of_rails_says_that_it_is_partial(tmp_path: Path) -> None:
    assert read("jetson-agx-orin", tmp_path)["power"][0].provenance is Provenance.MEASURED_PARTIAL


def test_tree_without_anything_is_refused_by_every_name(tmp_path: Path) -> None:
    reports = read_all_once(discover(tmp_path))
    assert not any(report.readings for report in reports)
    assert {"battery", "power", "temperature", "memory_available", "cpu"} <= {
        missing.name for report in reports for missing in report.unavailable
    }
