"""A small FUSE file system that serves a device tree and fails as told: real errno values for unmodified readers.

Run as a process of its own: `python -m tidegate_drivers.testing.fault_tree MOUNTPOINT TREE.json`. Writing
`path fault` to `.control` puts a fault on a file, writing `-` takes all faults away, and reading it tells which
files were opened since the last write.
"""

import base64
import errno
import json
import os
import stat
import sys
import threading
import time
from pathlib import Path

import mfusepy  # type: ignore[import-untyped]  # it has none

from tidegate_drivers.testing.faults import CONTENTS, CONTROL, ERRORS, HANG, HANG_S, SLOW, SLOW_S, VANISHED


class FaultTree(mfusepy.Operations):  # type: ignore[misc]  # untyped base
    """The tree's files; every open and read reaches this process."""

    use_ns = True

    def __init__(self, tree: dict[str, bytes]) -> None:
        self._files = {name: content for name, content in tree.items() if not name.endswith("/")}
        self._directories = {""} | {name.rstrip("/") for name in tree if name.endswith("/")}
        for name in self._files:
            parts = name.split("/")[:-1]
            self._directories |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
        for directory in list(self._directories):
            parts = directory.split("/")
            self._directories |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
        self._faults: dict[str, str] = {}
        self._opened: set[str] = set()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:  # noqa: ARG002  mfusepy's signature
        """Type and size, which never change: the kernel may keep them."""
        name = path.lstrip("/")
        if name in self._directories:
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if name == CONTROL:
            return {"st_mode": stat.S_IFREG | 0o666, "st_nlink": 1, "st_size": 4096}
        if name not in self._files:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": 4096}

    def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002  mfusepy's signature
        """All names, those of vanished files too."""
        inside = path.strip("/")
        prefix = f"{inside}/" if inside else ""
        names = {
            name.removeprefix(prefix).split("/")[0]
            for name in (*self._files, *self._directories)
            if name.startswith(prefix) and name != inside
        }
        return [".", "..", *sorted(filter(None, names))]

    def open(self, path: str, flags: int) -> int:  # noqa: ARG002  mfusepy's signature
        """Remember that it was opened; a vanished file is listed and yet not there, as when a device goes."""
        name = path.lstrip("/")
        self._opened.add(name)
        if self._faults.get(name) == VANISHED:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002  mfusepy's signature
        """The content, or the fault."""
        name = path.lstrip("/")
        if name == CONTROL:
            return "\n".join(sorted(self._opened)).encode()[offset : offset + size]
        fault = self._faults.get(name, "")
        if fault in ERRORS:
            raise mfusepy.FuseOSError(ERRORS[fault])
        if fault in (SLOW, HANG):
            time.sleep(SLOW_S if fault == SLOW else HANG_S)
        return CONTENTS.get(fault, self._files[name])[offset : offset + size]

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        """Nothing to cut: commands are written whole."""

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:  # noqa: ARG002  mfusepy's signature
        """A command."""
        if path.lstrip("/") != CONTROL:
            raise mfusepy.FuseOSError(errno.EACCES)
        self._opened.clear()
        command = data.decode().strip()
        if command == "-":
            self._faults.clear()
        else:
            name, _, fault = command.partition("\t")
            self._faults[name] = fault
        return len(data)


def _end_with_standard_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until unmounted, or until whoever started it is gone and standard input with it."""
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    mountpoint, tree_file = sys.argv[1:]
    encoded = json.loads(Path(tree_file).read_text())
    tree = {name: base64.b64decode(content) for name, content in encoded.items()}
    mfusepy.FUSE(
        FaultTree(tree),
        mountpoint,
        foreground=True,
        nothreads=False,
        direct_io=True,
        attr_timeout=3600,
        entry_timeout=3600,
        negative_timeout=3600,
    )


if __name__ == "__main__":
    main()
