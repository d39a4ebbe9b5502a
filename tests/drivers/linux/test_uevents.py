"""uevents through the real kernel, in a network namespace of the test's own."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate_bench import device_tree
from tidegate_bench.uevent_sender import message
from tidegate_drivers.linux.uevents import subsystem_of

ROOT = Path(__file__).parents[3]

OVERFLOW = """
import json
from tidegate_bench.uevent_sender import send
from tidegate_drivers.linux.uevents import Uevents
import socket
listener = Uevents()
send(1, 1e9)
first = listener.drain()
send(1, 1e9, subsystem="thermal"); send(1, 1e9, subsystem="hwmon")
two = listener.drain()
listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
send(3000, 1e9)
print(json.dumps([sorted(first), sorted(two), listener.drain(), sorted(listener.drain())]))
"""


def apart(*command: str) -> str:
    as_root = [] if os.geteuid() == 0 else ["-r"]
    if platform.system() != "Linux" or shutil.which("unshare") is None:
        pytest.skip("NOT RUN: needs Linux and unshare (package util-linux)")
    unshare = ["unshare", *as_root, "-n"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("this CI may not make network namespaces")
        pytest.skip("NOT RUN: this user may not make network namespaces")
    done = subprocess.run([*unshare, *command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_subsystem_is_taken_from_the_message() -> None:
    assert subsystem_of(message("change", "/devices/x", "power_supply")) == "power_supply"
    assert subsystem_of(b"libudev\0\xfe\xed\xca\xfe") == ""
    assert subsystem_of(b"change@/x\0ACTION=change\0SUBSYSTEM=") == ""


def test_events_are_heard_and_a_full_buffer_means_everything() -> None:
    first, two, overflowed, after = json.loads(apart(sys.executable, "-c", OVERFLOW))
    assert first == ["power_supply"]
    assert two == ["hwmon", "thermal"]
    assert overflowed is None
    assert after == []


def test_storm_ends_with_the_right_state(tmp_path: Path) -> None:
    device_tree.write(device_tree.load("laptop"), tmp_path)
    result = json.loads(
        apart(sys.executable, "-m", "tidegate_bench.drivers.uevent_storm", str(tmp_path), "1", "1000")
    )
    assert not result["sender_failed"]
    assert result["last_state_right_after_s"] is not None
    assert result["storm_cpu_percent"] < 50
