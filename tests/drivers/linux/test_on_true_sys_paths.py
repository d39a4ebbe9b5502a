"""The Linux drivers as they run in earnest, on /sys itself, with the boards' devices that umockdev puts there."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate_drivers.catalog import LINUX
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.testing import device_tree

CLASS_FILE = re.compile(r"sys/class/([^/]+)/([^/]+)/([^/]+)")
# The others read what is no device of a class (CPUs, /proc), where umockdev shows the real machine.
DRIVERS = ("power_supply", "jetson", "thermal", "hwmon", "rapl", "cooling")

READ = f"""
import json
from pathlib import Path
from tidegate_drivers.catalog import LINUX
from tidegate_drivers.read_sensor import read_sensor
print(json.dumps({{sensor.name: read_sensor(sensor).value for driver in LINUX if driver.name in {DRIVERS}
                   for sensor in driver.discover(Path("/")).sensors}}))
"""


def umockdev(tree: dict[str, bytes]) -> str:
    """The tree's class devices in umockdev's format."""
    attributes: dict[tuple[str, str], list[str]] = {}
    for path, content in tree.items():
        match = CLASS_FILE.fullmatch(path)
        if match is not None:
            text = content.decode().replace("\n", "\\n")
            attributes.setdefault((match[1], match[2]), []).append(f"A: {match[3]}={text}")
    return "\n".join(
        "\n".join((f"P: /devices/virtual/{subsystem}/{name}", f"E: SUBSYSTEM={subsystem}", *lines, ""))
        for (subsystem, name), lines in attributes.items()
    )


@pytest.mark.parametrize("name", device_tree.names())
def test_board_on_true_paths_reads_as_under_a_root(name: str, tmp_path: Path) -> None:
    runner = shutil.which("umockdev-run")
    if runner is None:
        if os.environ.get("CI") == "true":
            pytest.fail("umockdev-run is missing; install the package umockdev")
        pytest.skip(f"NOT RUN on {platform.system()}: needs umockdev-run (package umockdev)")
    tree = {path: content for path, content in device_tree.load(name).items() if CLASS_FILE.fullmatch(path)}
    root = tmp_path / "root"
    device_tree.write(tree, root)
    under_root = {
        sensor.name: read_sensor(sensor).value
        for driver in LINUX
        if driver.name in DRIVERS
        for sensor in driver.discover(root).sensors
    }
    (tmp_path / "device.umockdev").write_text(umockdev(tree))
    done = subprocess.run(
        [runner, "-d", str(tmp_path / "device.umockdev"), "--", sys.executable, "-c", READ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    on_true_paths = json.loads(done.stdout)
    assert on_true_paths == under_root
    assert on_true_paths["temperature"] is not None
