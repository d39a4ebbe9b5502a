"""The Linux drivers as they run in earnest, on /sys itself, with devices that umockdev puts there."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LAPTOP = """\
P: /devices/platform/PNP0C0A:00/power_supply/BAT0
E: SUBSYSTEM=power_supply
E: POWER_SUPPLY_NAME=BAT0
E: POWER_SUPPLY_VOLTAGE_NOW=11800000
A: type=Battery\\n
A: status=Discharging\\n
A: capacity=41\\n
A: current_now=-898000\\n

P: /devices/platform/ACPI0003:00/power_supply/AC
E: SUBSYSTEM=power_supply
A: type=Mains\\n
A: online=0\\n

P: /devices/virtual/hid/0003/power_supply/hidpp_battery_0
E: SUBSYSTEM=power_supply
A: type=Battery\\n
A: scope=Device\\n
A: capacity=5\\n

P: /devices/virtual/thermal/thermal_zone0
E: SUBSYSTEM=thermal
A: type=x86_pkg_temp\\n
A: temp=61000\\n

P: /devices/virtual/thermal/thermal_zone1
E: SUBSYSTEM=thermal
A: type=gpu-thermal\\n
A: temp=-44000\\n
"""

READ = """
import json
from drivers.catalog import discover_all
from drivers.survey import read_all_once
readings = {name: [reading.value, reading.reason]
            for report in read_all_once(discover_all(), deadline_s=10)
            for name, reading in report.readings.items()}
print(json.dumps(readings))
"""


def test_mocked_laptop_on_true_paths(tmp_path: Path) -> None:
    runner = shutil.which("umockdev-run")
    if runner is None:
        if os.environ.get("CI") == "true":
            pytest.fail("umockdev-run is missing; install the package umockdev")
        pytest.skip(f"NOT RUN on {platform.system()}: needs umockdev-run (package umockdev)")
    (tmp_path / "laptop.umockdev").write_text(LAPTOP)
    done = subprocess.run(
        [runner, "-d", str(tmp_path / "laptop.umockdev"), "--", sys.executable, "-c", READ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    readings = json.loads(done.stdout)
    values = {name: value for name, (value, _) in readings.items()}
    assert values["battery"] == 41.0
    assert values["power_source"] == "battery"
    assert values["power"] == pytest.approx(0.898 * 11.8)
    assert values["temperature"] == 61.0
    assert "-44000" in readings["temperature/gpu-thermal"][1]
    assert values["memory_available"] > 1 << 20
    assert 0.0 <= values["cpu"] <= 100.0
