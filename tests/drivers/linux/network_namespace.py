"""Runs a command in a network namespace of its own: uevents sent there are heard there only."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def apart(*command: str) -> str:
    """What a command prints in a network namespace of its own; skips the test where none can be made."""
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
