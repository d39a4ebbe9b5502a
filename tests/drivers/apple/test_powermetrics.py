"""powermetrics as a real child process that prints recorded samples."""

import os
import sys
import time
from pathlib import Path

import pytest
from test_formats import sample

from tidegate_drivers.apple.powermetrics import Powermetrics, discover
from tidegate_drivers.sensor import SensorError

BOUND_S = 20.0

CHILD = """
import pathlib, subprocess, sys, time
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.01)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(grandchild.pid))
for _ in range(3):
    sys.stdout.buffer.write(open(sys.argv[2], "rb").read() + b"\\n\\0")
    sys.stdout.buffer.flush()
    time.sleep(0.05)
time.sleep(600)
"""


def wait_for_power(meter: Powermetrics) -> float:
    ends_at = time.monotonic() + BOUND_S
    while time.monotonic() < ends_at:
        try:
            power_w = meter.sample().power_w
        except SensorError:
            time.sleep(0.02)
        else:
            assert power_w is not None
            return power_w
    pytest.fail("no sample came")


def test_one_child_is_followed_and_killed_with_its_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    now = [0.0]
    command = (sys.executable, "-c", CHILD, str(pid_file), str(tmp_path / "sample"))
    meter = Powermetrics(command, lambda: now[0])
    with pytest.raises(SensorError, match="has not printed a sample yet"):
        meter.sample()
    (tmp_path / "written").write_bytes(sample())
    (tmp_path / "written").rename(tmp_path / "sample")
    assert wait_for_power(meter) == pytest.approx(4.3305)
    readings = {sensor.name: sensor.read() for sensor in discover(meter).sensors}
    assert readings["power/gpu"] == pytest.approx(0.12)
    assert readings["thermal_pressure"] == "fair"
    now[0] = 60.0  # a child that prints no more leaves its last sample behind
    with pytest.raises(SensorError):
        meter.sample()
    grandchild = int(pid_file.read_text())
    meter.stop()
    ends_at = time.monotonic() + BOUND_S
    while Path(f"/proc/{grandchild}").exists() and time.monotonic() < ends_at:
        if "Z" in Path(f"/proc/{grandchild}/stat").read_text().split(")")[1][:3]:
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{grandchild}").exists()


def test_child_that_ends_says_so_and_is_not_started_in_a_loop() -> None:
    meter = Powermetrics((sys.executable, "-c", "raise SystemExit(3)"), lambda: 5.0)
    ends_at = time.monotonic() + BOUND_S
    reason = ""
    while "ended with code 3" not in reason and time.monotonic() < ends_at:
        with pytest.raises(SensorError) as caught:
            meter.sample()
        reason = str(caught.value)
    assert "ended with code 3" in reason


@pytest.mark.skipif(sys.platform == "darwin" and os.geteuid() == 0, reason="would really start it")
def test_without_the_tool_or_root_it_is_refused() -> None:
    (missing,) = discover().unavailable
    assert missing.name == "power"
    assert missing.reason
