"""Runs Python code on a real disk of a few hundred kilobytes, mounted where nobody else sees it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && cd "$2" && exec "$3" -c "$4"'


def run_on_small_disk(code: str, directory: Path, size: str, timeout_s: float = 90) -> str:
    """What `code` prints; it runs in the mounted directory, which then is gone. Its failure is the test's."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        reason = "needs root on Linux to mount a small disk in a namespace of its own"
        if os.environ.get("CI") == "true" and sys.platform == "linux":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            _MOUNT,
            "sh",
            size,
            directory,
            sys.executable,
            code,
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
