"""Trees of devices at large, written from the kernel's ABI and their drivers' habits; each says what is right."""

from pathlib import Path

import pytest
from expectations import merged, unmet

from tidegate_drivers.catalog import discover
from tidegate_drivers.reading import Value
from tidegate_drivers.survey import read_all_once
from tidegate_drivers.testing import device_tree

TREES = sorted((Path(__file__).parent / "trees").glob("*.tree"))


@pytest.fixture(autouse=True)
def _files_that_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves between two looks at a tree: there is nothing to wait for."""
    monkeypatch.setattr("tidegate_drivers.survey._SECOND_LOOK_AFTER_S", 0.0)


def read(text: str, root: Path) -> tuple[dict[str, Value], dict[str, str]]:
    device_tree.write(device_tree.parse(text), root)
    return merged(read_all_once(discover(root)))


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_tree_is_read_as_it_says(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    assert unmet(text, *read(text, tmp_path)) == []


def test_capture_with_links_and_foreign_line_ends(tmp_path: Path) -> None:
    """As `cp -a` keeps the classes: links into sys/devices, which the drivers follow."""
    devices = "sys/devices/platform/soc/i2c-1"
    tree = device_tree.parse(
        f"""
        {devices}/power_supply/BAT0/type: Battery
        {devices}/power_supply/BAT0/status: Discharging
        {devices}/power_supply/BAT0/capacity: 41
        {devices}/hwmon/hwmon7/name: lm75
        {devices}/hwmon/hwmon7/temp1_input: 31000
        sys/class/power_supply/
        sys/class/hwmon/
        """
    )
    device_tree.write({name: content.replace(b"\n", b"\r\n") for name, content in tree.items()}, tmp_path)
    for kind, name in (("power_supply", "BAT0"), ("hwmon", "hwmon7")):
        (tmp_path / "sys/class" / kind / name).symlink_to(f"../../../{devices}/{kind}/{name}")
    values, _ = read("", tmp_path)
    assert values == {
        "battery": 41.0,
        "battery/BAT0": 41.0,
        "battery_state": "discharging",
        "power_source": "battery",
        "temperature/lm75/temp1": 31.0,
    }
