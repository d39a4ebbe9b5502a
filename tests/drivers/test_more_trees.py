"""Trees of devices at large, written from the kernel's ABI and their drivers' habits; each says what is right.

`#= NAME = VALUE` is what must be read, `#= NAME ! WORDS` has no value and a reason with those words, and
`#= NAME -` must not be read at all.
"""

import re
from pathlib import Path

import pytest

from tidegate_drivers.catalog import discover
from tidegate_drivers.reading import Value
from tidegate_drivers.survey import read_all_once
from tidegate_drivers.testing import device_tree

EXPECTATION = re.compile(r"^#= (.+?) ([=!-])(?: (.+))?$", re.MULTILINE)
TREES = sorted((Path(__file__).parent / "trees").glob("*.tree"))


@pytest.fixture(autouse=True)
def _files_that_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves between two looks at a tree: there is nothing to wait for."""
    monkeypatch.setattr("tidegate_drivers.survey._SECOND_LOOK_AFTER_S", 0.0)


def read(text: str, root: Path) -> tuple[dict[str, Value], dict[str, str]]:
    """The value of each name, of the first driver that has one, and every reason why not, joined by name."""
    device_tree.write(device_tree.parse(text), root)
    values: dict[str, Value] = {}
    reasons: dict[str, str] = {}
    for report in read_all_once(discover(root)):
        for name, reading in report.readings.items():
            if reading.value is not None:
                values.setdefault(name, reading.value)
            else:
                reasons[name] = reasons.get(name, "") + reading.reason
        for missing in report.unavailable:
            reasons[missing.name] = reasons.get(missing.name, "") + missing.reason
    return values, reasons


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_tree_is_read_as_it_says(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    values, reasons = read(text, tmp_path)
    wrong: list[str] = []
    for name, sign, wanted in EXPECTATION.findall(text):
        value, reason = values.get(name), reasons.get(name, "")
        if sign == "=":
            right = value == pytest.approx(float(wanted)) if isinstance(value, float) else value == wanted
        elif sign == "!":
            right = value is None and wanted in reason
        else:
            right = value is None and not reason
        if not right:
            wrong.append(f"{name} {sign} {wanted}: says {value} {reason}")
    assert not wrong
    assert len(EXPECTATION.findall(text)) == text.count("#=") > 0


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
