"""Which drivers a platform gets."""

import platform
import threading
from pathlib import Path

import pytest

from tidegate_drivers import catalog
from tidegate_drivers.reading import UNITS
from tidegate_drivers.sensor import Discovery


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_every_reading_is_offered_or_refused(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    found = catalog.discover()
    offered = {sensor.name for discovery in found for sensor in discovery.sensors}
    refused = {missing.name for discovery in found for missing in discovery.unavailable}
    assert set(UNITS) <= offered | refused
    assert all(missing.reason for discovery in found for missing in discovery.unavailable)


def test_captured_tree_is_read_alike_on_any_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = [discovery.driver for discovery in catalog.discover(tmp_path)]
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert [discovery.driver for discovery in catalog.discover(tmp_path)] == here
    assert "thermal" in here


def test_driver_that_hangs_or_breaks_is_refused_and_looked_for_again(tmp_path: Path) -> None:
    release = threading.Event()

    def hang(_sysroot: Path) -> Discovery:
        release.wait(20)
        return Discovery("slow")

    def broken(_sysroot: Path) -> Discovery:
        raise ZeroDivisionError

    drivers = (catalog.Driver("slow", hang, ("battery",)), catalog.Driver("broken", broken, ("temperature",)))
    slow, bad = catalog.discover_each(drivers, tmp_path, deadline_s=0.1)
    assert "have not answered within 0.1 s" in slow.unavailable[0].reason
    assert "defect in the driver: ZeroDivisionError" in bad.unavailable[0].reason
    release.set()
    assert slow.again is not None
    assert slow.again() == Discovery("slow")
