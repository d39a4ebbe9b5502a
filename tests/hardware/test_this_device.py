"""This device, by its own instruments."""

import os
import platform
import shutil
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from tidegate_bench.figures import Figures
from tidegate_drivers.apple import powermetrics
from tidegate_drivers.apple.system import MacSystem
from tidegate_drivers.boards import vcio
from tidegate_drivers.catalog import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import POWER_SOURCE, UNITS, Freshness
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.survey import DriverReport

WATCHED_S = 15.0
PLUG_WITHIN_S = 60.0

only_macos = pytest.mark.skipif(platform.system() != "Darwin", reason="macOS")
only_pi = pytest.mark.skipif(not vcio.DEVICE.exists(), reason="Raspberry Pi")


def test_nothing_is_a_defect_and_everything_has_a_reason(reports: tuple[DriverReport, ...]) -> None:
    for report in reports:
        for name, reading in report.readings.items():
            assert reading.value is not None or reading.reason, name
            assert "defect in the driver" not in reading.reason, (name, reading.reason)
        assert all(missing.reason for missing in report.unavailable)


def test_readings_that_policies_know_stay_fresh() -> None:
    sampler = Sampler(discover())
    sampler.start()
    try:
        time.sleep(WATCHED_S)
        first = {name for name in UNITS if sampler.snapshot().freshness(name) is Freshness.FRESH}
        time.sleep(WATCHED_S)
        snapshot = sampler.snapshot()
    finally:
        sampler.stop()
    assert {name for name in first if snapshot.freshness(name) is Freshness.STALE} == set()
    assert "memory_available" in first


@pytest.mark.skipif(not sys.stdin.isatty(), reason="needs a person at a terminal")
def test_plug_is_noticed_at_once() -> None:
    sampler = Sampler(discover())
    sampler.start()
    try:
        time.sleep(2)
        before = sampler.snapshot().word(POWER_SOURCE)
        if before is None:
            pytest.skip("this device does not know its power source")
        sys.stdout.write(f"\nPlug or unplug the charger now (it is on {before}); {PLUG_WITHIN_S:.0f} s: ")
        sys.stdout.flush()
        ends_at = time.monotonic() + PLUG_WITHIN_S
        while time.monotonic() < ends_at and sampler.snapshot().word(POWER_SOURCE) in (before, None):
            time.sleep(0.1)
        assert sampler.snapshot().word(POWER_SOURCE) not in (before, None)
    finally:
        sampler.stop()


def test_every_compute_unit_answers_as_the_processor_does(placements: Figures) -> None:
    """Takes a minute or two for each engine: a unit's first load may be slow."""
    for row in placements.rows:
        assert row["answer_ms"] is not None, (row["engine"], row["point"], row["reason"])
        assert not row["apart"], row


@only_macos
def test_calls_into_macos() -> None:
    system = MacSystem()
    assert 0 <= system.notify_state("com.apple.system.thermalpressurelevel") <= 4
    assert 0 <= system.process_thermal_state() <= 3
    assert system.sysctl_int("kern.memorystatus_vm_pressure_level") in (1, 2, 4)
    wake = system.open_notice("com.apple.system.lowpowermode")
    assert wake.fileno() > 2
    wake.close()


@only_pi
def test_mailbox_says_what_vcgencmd_says() -> None:
    if shutil.which("vcgencmd") is None:
        pytest.skip("vcgencmd is not installed")
    # Never with an argument: that clears the sticky bits for everybody.
    printed = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, check=True, timeout=20)
    assert vcio.ask("get_throttled") == printed.stdout.strip()


@pytest.mark.skipif(shutil.which("tegrastats") is None, reason="Jetson")
def test_power_is_near_what_tegrastats_says(reports: tuple[DriverReport, ...]) -> None:
    ours = next(report.readings["power"].value for report in reports if "power" in report.readings)
    shown = subprocess.Popen(["tegrastats", "--interval", "1000"], stdout=subprocess.PIPE, text=True)
    try:
        assert shown.stdout is not None
        line = shown.stdout.readline()
    finally:
        shown.kill()
        shown.wait()
    words = line.split()
    inputs = [word for name, word in pairwise(words) if name in ("VDD_IN", "POM_5V_IN", "VIN")]
    if not inputs:
        pytest.skip("tegrastats names no input rail here")
    theirs_w = float(inputs[0].split("/")[0].removesuffix("mW")) / 1000
    assert isinstance(ours, float)
    assert ours == pytest.approx(theirs_w, rel=0.5)


@pytest.mark.skipif(os.geteuid() != 0 or platform.system() != "Darwin", reason="macOS as root")
def test_powermetrics_gives_power() -> None:
    found = powermetrics.discover()
    assert found.stop is not None
    power = next(sensor for sensor in found.sensors if sensor.name == "power")
    try:
        ends_at = time.monotonic() + WATCHED_S
        while (reading := read_sensor(power)).value is None and time.monotonic() < ends_at:
            time.sleep(0.5)  # it prints every two seconds
    finally:
        found.stop()
    assert reading.value is not None, reading.reason
