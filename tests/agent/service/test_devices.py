"""What is opened for a machine's devices: only what is there, and gone again with it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tidegate.service import systemd, templates
from tidegate.service.devices import Devices, devices
from tidegate.service.places import system_places, user_places
from tidegate.service.steps import Gone, TextFile

SYSTEM = system_places("systemd")
USER = user_places("systemd", Path("/home/me"), {}, 1000)


def test_a_machine_without_such_devices_opens_nothing_and_closes_what_was_open(tmp_path: Path) -> None:
    assert devices(tmp_path) == Devices(vcio=False, rapl=False)
    steps = systemd.opened(SYSTEM, Devices())
    assert steps == [Gone(SYSTEM.device_drop_in), Gone(SYSTEM.udev_rules)]


def test_what_is_there_is_opened(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/vcio").touch()
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "energy_uj").touch()
    found = devices(tmp_path)
    assert found == Devices(vcio=True, rapl=True)
    written = {step.path for step in systemd.opened(SYSTEM, found) if isinstance(step, TextFile)}
    assert written == {SYSTEM.device_drop_in, SYSTEM.udev_rules}
    # A user's own systemd can open nothing.
    assert systemd.opened(USER, found) == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_drop_in_is_understood_and_opens_one_device_alone(tmp_path: Path) -> None:
    unit = tmp_path / "tidegate.service"
    text = templates.unit(SYSTEM, password=False, broker=None)
    unit.write_text(text.replace(f"{SYSTEM.prefix}/current/bin/tidegate", "/bin/true"))
    (tmp_path / "tidegate.service.d").mkdir()
    (tmp_path / "tidegate.service.d/10-devices.conf").write_text(templates.device_drop_in())
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "DevicePolicy=closed\n" in text
    assert templates.device_drop_in().count("DeviceAllow=") == 1


@pytest.mark.skipif(shutil.which("udevadm") is None, reason="udev is not installed")
def test_the_rule_is_understood(tmp_path: Path) -> None:
    helped = subprocess.run(["udevadm", "--help"], capture_output=True, text=True, check=False, timeout=20)
    if "verify" not in helped.stdout:
        pytest.skip("this udevadm can't verify rules; it came with systemd 254")
    rules = tmp_path / "60-tidegate.rules"
    rules.write_text(templates.udev_rules())
    done = subprocess.run(
        ["udevadm", "verify", str(rules)], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 0, done.stderr
