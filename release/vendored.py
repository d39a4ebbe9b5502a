"""Code of others that is copied into the package: NAME.LICENSE lies beside the files NAME.*."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSION = re.compile(r"\bv?(\d+\.\d+\.\d+)\b")
SPDX = {"The MIT License": "MIT", "MIT License": "MIT", "ISC License": "ISC"}
"""By the first line of a licence's text."""
HEAD = 400
"""Characters at the beginning of a file, where builds state name and version."""


@dataclass(frozen=True, slots=True)
class Vendored:
    """One library: its licence as SPDX and as text, and the SHA-256 of each of its files by name."""

    name: str
    version: str
    licence: str
    text: str
    sha256: dict[str, str]


def vendored(root: Path) -> list[Vendored]:
    """Every library below `root`; ValueError for one without version or with a licence that is not known."""
    return [_read(file) for file in sorted(root.rglob("*.LICENSE"))]


def without_licence(root: Path) -> list[Path]:
    """Minified files, which nobody here has written, without a licence beside them."""
    minified = [file for kind in ("js", "css") for file in root.rglob(f"*.min.{kind}")]
    return [file for file in minified if not (file.parent / f"{file.name.partition('.')[0]}.LICENSE").is_file()]


def _read(licence: Path) -> Vendored:
    text = licence.read_text(encoding="utf-8").strip()
    name, first = licence.stem, text.splitlines()[0]
    spdx = next((spdx for begins, spdx in SPDX.items() if first.startswith(begins)), None)
    if spdx is None:
        raise ValueError(f"{licence}: begins with {first!r}; known are {', '.join(SPDX)}")
    files = sorted(file for file in licence.parent.glob(f"{name}.*") if file != licence)
    heads = [file.read_text(encoding="utf-8")[:HEAD] for file in files]
    version = next((found[1] for head in heads if (found := VERSION.search(head))), None)
    if version is None:
        raise ValueError(f"{licence}: none of {', '.join(file.name for file in files)} says its version")
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return Vendored(name, version, spdx, text, sums)
