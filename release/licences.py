"""The licences of what a service installs: the list of docs/licences.md, and the texts that the packages bring."""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "licences.md"
ROW = re.compile(r"^\| (?P<package>[a-z0-9-]+) \| (?P<licence>[^|-][^|]*?) \|$", re.MULTILINE)
TEXT = re.compile(r"(licen[cs]e|notice|copying|edl-v|epl-v)", re.IGNORECASE)
WITHOUT_TEXT = {"flatbuffers": ROOT / "LICENSE"}
"""Packages that bring no text, and where the same one is."""
NOT_HERE = frozenset({"colorama", "mlx-metal", "nvidia-ml-py", "zeus-apple-silicon"})
"""Installed on other systems alone, or on none of those on which releases are made."""


def stated(page: str) -> dict[str, str]:
    """SPDX expressions by package, of the page's table."""
    return {row["package"]: row["licence"] for row in ROW.finditer(page) if row["package"] != "package"}


def texts(packages: Iterable[str], licences: Mapping[str, str]) -> str:
    """The texts of the licences of installed packages, one after the other.

    Raises LookupError with all packages that are not installed, or have no text.
    """
    parts, missing = [], []
    for name in packages:
        if name in NOT_HERE:
            continue
        try:
            found = _texts_of(distribution(name))
        except PackageNotFoundError:
            missing.append(f"{name} is not installed")
            continue
        if not found and name in WITHOUT_TEXT:
            found = [WITHOUT_TEXT[name].read_text(encoding="utf-8")]
        if not found:
            missing.append(f"{name} brings no text of its licence")
        parts.append("\n\n".join([f"{'=' * 80}\n{name}: {licences[name]}\n{'=' * 80}", *found]))
    if missing:
        raise LookupError("; ".join(missing))
    return "\n\n".join(parts) + "\n"


def _texts_of(installed: Distribution) -> list[str]:
    files = sorted(
        (file for file in installed.files or () if TEXT.search(file.name) and file.suffix not in {".py", ".pyc"}),
        key=str,
    )
    paths = [Path(str(installed.locate_file(file))) for file in files]
    return [
        f"--- {path.name}\n\n{path.read_text(encoding='utf-8', errors='replace').strip()}"
        for path in paths
        if path.is_file()
    ]
