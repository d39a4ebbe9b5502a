"""What an installed service depends on: the pins of agent/tidegate/service/requirements*.txt as data."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "agent" / "tidegate" / "service" / "requirements.txt"
FILES = (REQUIREMENTS, *sorted(REQUIREMENTS.parent.glob("requirements-*.txt")))
"""That of every service, and those of extras."""
PIN = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>.+?))? \\\n"
    r"(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
    r"(?P<via>(?:    #.*\n)*)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a package: the SHA-256 of each of its files, and which packages ask for it."""

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]
    via: tuple[str, ...]


def pins(text: str) -> list[Pin]:
    """The pins of a requirements file as `uv pip compile` writes it; ValueError if one of its lines is in none."""
    found = list(PIN.finditer(text))
    stated = re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)
    if len(found) != len(stated):
        raise ValueError(f"{len(stated)} pins are there, and {len(found)} could be read, each with its hashes")
    return [
        Pin(
            each["name"],
            each["version"],
            each["marker"] or "",
            tuple(re.findall(r"sha256:([0-9a-f]{64})", each["hashes"])),
            tuple(re.findall(r"#\s+(?:via )?([a-z0-9-]+)", each["via"].replace("# via\n", ""))),
        )
        for each in found
    ]


def all_pins() -> list[Pin]:
    """Those of every service and of its extras."""
    return [pin for file in FILES for pin in pins(file.read_text(encoding="utf-8"))]
