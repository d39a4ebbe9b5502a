"""Root file systems of other Debian releases, for a systemd that is newer or older than this machine's.

Made once by mmdebstrap from Debian's packages, about 200 MB each, and kept in the user's cache.
"""

import os
import shutil
import subprocess
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
MADE_S = 1500.0
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate-tests"
_PACKAGES = ("systemd", "systemd-sysv", "dbus")


class NoRootError(Exception):
    """There is none, and the message says what it takes."""


def debian_root(release: str, *packages: str) -> Path:
    """The root of a release such as trixie with systemd and `packages` in it. Raises NoRootError."""
    root = _CACHE / "-".join((release, *packages))
    if root.is_dir():
        return root
    if shutil.which("mmdebstrap") is None:
        raise NoRootError("mmdebstrap is not installed: apt install mmdebstrap")
    _CACHE.mkdir(parents=True, exist_ok=True)
    # What was broken off must not be taken for whole.
    making = root.with_name(f"{root.name}.{os.getpid()}")
    include = f"--include={','.join((*_PACKAGES, *packages))}"
    command = ["mmdebstrap", "--variant=minbase", include, release, str(making), MIRROR]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MADE_S)
        if done.returncode:
            raise NoRootError(f"mmdebstrap could not make {release} from {MIRROR}: {done.stderr[-1000:]}")
        making.rename(root)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return root
