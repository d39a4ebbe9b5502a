"""Which drivers a platform gets."""

import platform
from pathlib import Path

import pytest

from drivers import catalog
from drivers.reading import UNITS


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_every_reading_is_offered_or_refused(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    found = catalog.discover_all()
    offered = {sensor.name for discovery in found for sensor in discovery.sensors}
    refused = {refusal.name for discovery in found for refusal in discovery.refusals}
    assert set(UNITS) <= offered | refused
    assert all(refusal.reason for discovery in found for refusal in discovery.refusals)


def test_captured_tree_is_read_alike_on_any_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    drivers = [discovery.driver for discovery in catalog.discover_all(tmp_path)]
    assert drivers == ["power_supply", "thermal", "memory", "cpu"]
