"""Mounts a device tree that fails as told (fault_tree), for as long as a `with` block lasts."""

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate_drivers.testing.faults import CONTROL

_MOUNT_WAIT_S = 10.0
# The server runs the code of this process, in whatever directory it is started.
_ROOT = str(Path(__file__).resolve().parents[2])


class FaultMountError(Exception):
    """The tree can't be mounted here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class FaultMount:
    """A mounted tree."""

    root: Path

    def fault(self, path: str, fault: str) -> None:
        """Make one file fail from now on."""
        self._command(f"{path}\t{fault}")

    def heal(self) -> None:
        """Take all faults away, and forget what was opened."""
        self._command("-")

    def opened(self) -> list[str]:
        """The files opened since the last command, without the leading slash."""
        names = (self.root / CONTROL).read_text().splitlines()
        return [name for name in names if name != CONTROL]

    def _command(self, text: str) -> None:
        (self.root / CONTROL).write_text(text)


def why_not() -> str:
    """Why nothing can be mounted here, empty when it can."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is missing (package fuse3)"
    if importlib.util.find_spec("mfusepy") is None:
        return "the Python package mfusepy is missing (pip install tidegate[test])"
    return ""


@contextmanager
def mounted(tree: Mapping[str, bytes]) -> Iterator[FaultMount]:
    """Serve the tree under a temporary directory. Raises FaultMountError."""
    if missing := why_not():
        raise FaultMountError(missing)
    with TemporaryDirectory(prefix="tidegate-faults-") as directory:
        root, encoded = Path(directory) / "root", Path(directory) / "tree.json"
        root.mkdir()
        texts = {name: base64.b64encode(content).decode() for name, content in tree.items()}
        encoded.write_text(json.dumps(texts))
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidegate_drivers.testing.fault_tree", str(root), str(encoded)],
            stdin=subprocess.PIPE,  # closed with this process at the latest, and then the server ends
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))},
        )
        try:
            _wait(server, root)
            yield FaultMount(root)
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(root)], check=False, capture_output=True)
            server.kill()  # not asked to: a read that hangs on purpose would hold it up
            server.wait(_MOUNT_WAIT_S)
            for pipe in filter(None, (server.stdin, server.stderr)):
                pipe.close()


def _wait(server: subprocess.Popen[bytes], root: Path) -> None:
    ends_at = time.monotonic() + _MOUNT_WAIT_S
    while time.monotonic() < ends_at:
        if os.path.ismount(root):
            return
        if server.poll() is not None and server.stderr is not None:
            raise FaultMountError(f"FUSE ended: {server.stderr.read().decode(errors='replace').strip()[-300:]}")
        time.sleep(0.02)
    raise FaultMountError(f"FUSE did not mount within {_MOUNT_WAIT_S:g} s")
