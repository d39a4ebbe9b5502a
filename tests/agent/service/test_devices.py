"""What is opened for a machine's devices: only what is there, and gone again with it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tidegate.service import systemd, templates
from tidegate.service.devices import Devices, Node, devices
from tidegate.service.places import system_places, user_places
from tidegate.service.steps import Gone, TextFile

SYSTEM = system_places("systemd")
USER = user_places("systemd", Path("/home/me"), {}, 1000)


ALL = (
    *("vcio", "hailo0", "apex_0", "apex_1", "rknpu", "dri/renderD129", "accel/accel0", "fastrpc-cdsp"),
    *("adsprpc-smd", "nvidia0", "nvidiactl"),
)


def made(root: Path, *nodes: str, driver: str = "rknpu") -> Devices:
    """What is found of files of these names; renderD128 is a GPU's, 129 of `driver`."""
    for node in (*nodes, "null", "video0", "sda", "dri/renderD128", "dri/card0", "apex_info"):
        (root / "dev" / node).parent.mkdir(parents=True, exist_ok=True)
        (root / "dev" / node).touch(0o666)
    for number, name in ((128, "i915"), (129, driver)):
        device = root / f"sys/class/drm/renderD{number}/device"
        device.mkdir(parents=True)
        (root / f"sys/bus/{name}").mkdir(parents=True)
        (device / "driver").symlink_to(root / f"sys/bus/{name}")
    return devices(root)


def test_a_machine_without_such_devices_opens_nothing_and_closes_what_was_open(tmp_path: Path) -> None:
    assert made(tmp_path) == devices(tmp_path / "nothing") == Devices()
    steps = systemd.opened(SYSTEM, Devices())
    assert steps == [Gone(SYSTEM.device_drop_in), Gone(SYSTEM.udev_rules)]


@pytest.mark.parametrize("node", ALL)
def test_each_accelerator_is_opened_and_nothing_beside_it(tmp_path: Path, node: str) -> None:
    assert made(tmp_path, node).nodes == (Node(f"/dev/{node}"),)


def test_of_render_nodes_only_those_of_npus_are(tmp_path: Path) -> None:
    assert made(tmp_path, "dri/renderD129", driver="amdgpu") == Devices()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_group_that_may_use_a_node_comes_with_it(tmp_path: Path) -> None:
    made(tmp_path, "apex_0", "hailo0", "accel/accel0", "vcio")
    modes = {"apex_0": (60, 0o660), "hailo0": (60, 0o666), "accel/accel0": (105, 0o660), "vcio": (0, 0o660)}
    for name, (group, mode) in modes.items():
        os.chown(tmp_path / "dev" / name, 0, group)
        (tmp_path / "dev" / name).chmod(mode)
    found = devices(tmp_path).nodes
    assert {node.path: node.group_id for node in found} == {
        "/dev/accel/accel0": 105,
        "/dev/apex_0": 60,
        "/dev/hailo0": None,
        "/dev/vcio": None,
    }
    written = templates.device_drop_in(found)
    assert [line for line in written.splitlines() if line.startswith("Supp")] == [
        "SupplementaryGroups=60",
        "SupplementaryGroups=105",
    ]


def test_what_is_there_is_opened(tmp_path: Path) -> None:
    made(tmp_path, "vcio")
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "energy_uj").touch()
    found = devices(tmp_path)
    assert found == Devices((Node("/dev/vcio"),), rapl=True)
    written = {step.path for step in systemd.opened(SYSTEM, found) if isinstance(step, TextFile)}
    assert written == {SYSTEM.device_drop_in, SYSTEM.udev_rules}
    # A user's own systemd can open nothing.
    assert systemd.opened(USER, found) == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_drop_in_is_understood_and_exposes_little(tmp_path: Path) -> None:
    unit = tmp_path / "tidegate.service"
    drop_in = templates.device_drop_in([Node(f"/dev/{name}", 44) for name in ALL])
    text = templates.unit(SYSTEM, password=False)
    unit.write_text(text.replace(f"{SYSTEM.prefix}/current/bin/tidegate", "/bin/true"))
    (tmp_path / "tidegate.service.d").mkdir()
    (tmp_path / "tidegate.service.d/10-devices.conf").write_text(drop_in)
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "DevicePolicy=closed\n" in text
    assert drop_in.count("DeviceAllow=") == len(ALL)
    # Offline it reads no drop-ins.
    unit.write_text(text.replace("[Install]", drop_in.partition("[Service]")[2] + "\n[Install]"))
    judge = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    judged = subprocess.run(judge, capture_output=True, text=True, check=True, timeout=60)
    assert float(judged.stdout.partition("exposure level for")[2].partition(":")[2].split()[0]) <= 1.3


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
