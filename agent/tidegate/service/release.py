"""What is to be installed: the clone beside these sources, or the wheel in a folder; each named by its content."""

import hashlib
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.service.errors import ServiceError

REQUIREMENTS = "service/requirements.txt"
"""In the package: every dependency with its version and hashes."""

EXTRAS = ("frigate", "nvidia", "pictures", "video")
"""What may be chosen besides; each has a `requirements-EXTRA.txt` beside the other."""


@dataclass(frozen=True, slots=True)
class Release:
    """`name` is the version and eight digits of the content's SHA-256; `install` what pip is asked for."""

    name: str
    install: Path
    requirements: str
    wheels: Path | None


def from_clone(clone: Path, extras: Sequence[str] = ()) -> Release:
    """The sources of a clone. Raises ServiceError where they aren't whole."""
    package = clone / "agent/tidegate"
    digest = hashlib.sha256()
    try:
        for root in (package, clone / "drivers/tidegate_drivers", clone / "profiles"):
            for file in sorted(
                each for each in root.rglob("*") if each.is_file() and "__pycache__" not in each.parts
            ):
                digest.update(f"{file.relative_to(clone)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        digest.update((clone / "pyproject.toml").read_bytes())
        stated = re.search(r'^__version__ = "([^"]+)"', (package / "__init__.py").read_text(), re.MULTILINE)
        requirements = _requirements(lambda name: (package / name).read_text(), extras)
    except OSError as error:
        raise ServiceError(f"{error.filename}: {error.strerror}; the clone is not whole: git status") from None
    if stated is None:
        raise ServiceError(f"{package / '__init__.py'}: states no __version__; the clone is not whole: git status")
    return Release(_name(stated[1], digest.hexdigest(), extras), clone, requirements, None)


def from_wheels(folder: Path, extras: Sequence[str] = ()) -> Release:
    """The newest tidegate wheel in a folder made by `./install.sh wheels`. Raises ServiceError."""
    found = sorted(folder.glob("tidegate-*.whl"), key=lambda wheel: wheel.stat().st_mtime)
    if not found:
        raise ServiceError(
            f"{folder}: holds no tidegate-*.whl; make the folder with: ./install.sh wheels {folder}"
        )
    wheel = found[-1]
    try:
        with zipfile.ZipFile(wheel) as opened:
            requirements = _requirements(lambda name: opened.read(f"tidegate/{name}").decode(), extras)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise ServiceError(f"{wheel}: is no whole wheel of tidegate ({error}); make the folder anew") from None
    version = wheel.name.split("-")[1]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Release(_name(version, digest, extras), wheel, requirements, folder)


def _requirements(read: Callable[[str], str], extras: Sequence[str]) -> str:
    files = (REQUIREMENTS, *(REQUIREMENTS.replace(".txt", f"-{extra}.txt") for extra in extras))
    return "".join(read(name) for name in files)


def _name(version: str, digest: str, extras: Sequence[str]) -> str:
    """With other extras it is another environment."""
    return "-".join((version, digest[:8], *extras))
