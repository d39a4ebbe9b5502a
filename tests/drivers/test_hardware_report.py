"""The report that a person with a device sends holds what a maintainer needs, and no serial number."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARDWARE = ROOT / "tests/hardware"


def test_report_holds_readings_answers_and_how_the_checks_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-c", str(ROOT / "pyproject.toml"), str(HARDWARE)]
    done = subprocess.run(
        [*command, "-k", "reason or mailbox"],
        cwd=tmp_path,
        env={**os.environ, "TIDEGATE_HARDWARE": "1", "PYTHONPATH": str(ROOT / "drivers")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "tidegate-hardware.json").read_text())
    assert str(tmp_path) in done.stdout
    assert report["checks"]["test_nothing_is_a_defect_and_everything_has_a_reason"] == "passed"
    assert report["user"]["uid"] == os.geteuid()
    readings = [name for driver in report["drivers"].values() for name in driver["readings"]]
    assert "memory_available" in readings
    assert sorted(readings) == sorted(name for took in report["read_ms"].values() for name in took)
    if sys.platform == "linux":
        assert report["events"]["power_supply"] == ["power_supply: heard"]
        assert report["answers"]["/proc/meminfo"].startswith("MemTotal:")


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"POWER_SUPPLY_NAME=BAT0\nPOWER_SUPPLY_SERIAL_NUMBER=77\n", "POWER_SUPPLY_NAME=BAT0\n(left out)\n"),
        (
            b"<dict><key>BatterySerialNumber</key>\n<string>D8</string><key>Voltage</key></dict>",
            "<dict><key>BatterySerialNumber</key>\n<string>(left out)</string><key>Voltage</key></dict>",
        ),
    ],
)
def test_serial_numbers_are_left_out(answer: bytes, kept: str) -> None:
    specification = importlib.util.spec_from_file_location("recording", HARDWARE / "recording.py")
    assert specification is not None
    assert specification.loader is not None
    recording = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(recording)
    assert recording.without_secrets(answer) == kept
