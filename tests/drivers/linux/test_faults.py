"""Files that fail for real, through FUSE: what hangs costs only its own readings.

Every fault of every file is tests/agent/bench/test_driver_faults.py.
"""

import os
import platform
import time
from collections.abc import Iterator

import pytest

from tidegate_drivers.catalog import discover
from tidegate_drivers.linux import power_supply
from tidegate_drivers.reading import Freshness
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.sensor import SensorError
from tidegate_drivers.testing import device_tree
from tidegate_drivers.testing.fault_mount import FaultMount, FaultMountError, mounted
from tidegate_drivers.testing.faults import HANG

BOUND_S = 30.0


@pytest.fixture(autouse=True, scope="module")
def _fuse() -> None:
    try:
        with mounted({"proc/stat": b""}):
            pass
    except FaultMountError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}; ./install.sh test installs what is needed")
        pytest.skip(f"NOT RUN on {platform.system()}: {error}")


@pytest.fixture
def laptop() -> Iterator[FaultMount]:
    with mounted(device_tree.load("laptop")) as mount:
        yield mount


def test_hanging_attribute_does_not_hold_up_the_start(laptop: FaultMount) -> None:
    laptop.fault("sys/class/power_supply/BAT0/type", HANG)
    began_at = time.monotonic()
    found = {each.driver: each for each in discover(laptop.root, deadline_s=0.5)}
    assert time.monotonic() - began_at < BOUND_S / 2
    assert "have not answered within 0.5 s" in found["power_supply"].unavailable[0].reason
    assert found["thermal"].sensors


def test_hanging_zone_costs_only_what_needs_it(laptop: FaultMount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_drivers.driver_poller.READ_DEADLINE_S", 0.3)
    found = [each for each in discover(laptop.root) if each.driver in ("thermal", "power_supply")]
    laptop.fault("sys/class/thermal/thermal_zone0/temp", HANG)
    sampler = Sampler(found)
    sampler.start()
    try:
        ends_at = time.monotonic() + BOUND_S
        while time.monotonic() < ends_at:
            snapshot = sampler.snapshot()
            # acpitz hangs, and with it the hottest of all; its neighbour behind it in the same driver is read.
            if snapshot.number("temperature/x86_pkg_temp") == 61.0 and snapshot.number("battery") == 50.0:
                break
            time.sleep(0.02)
        assert snapshot.number("temperature/x86_pkg_temp") == 61.0
        assert snapshot.number("battery") == 50.0
        assert snapshot.freshness("temperature") is Freshness.UNAVAILABLE
    finally:
        sampler.stop(timeout_s=0.1)


def test_reason_that_is_a_permission_says_how_to_get_it() -> None:
    battery = "sys/class/power_supply/BAT0"
    with mounted({f"{battery}/type": b"Battery\n", f"{battery}/capacity": b"41\n"}) as mount:
        (read,) = [sensor.read for sensor in power_supply.discover(mount.root).sensors if sensor.name == "battery"]
        assert read() == 41.0
        mount.fault(f"{battery}/capacity", "EACCES")
        with pytest.raises(SensorError, match="may not be read") as denied:
            read()
    assert "energy_full" not in str(denied.value)  # that it is not there was not what stood in the way
    assert denied.value.grant.startswith("sudo chmod")
