"""What a service installs is what pyproject.toml asks for, each file by its hash."""

import re
import tomllib
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\$", re.MULTILINE)


def pins() -> dict[str, list[tuple[Version, Marker | None]]]:
    found: dict[str, list[tuple[Version, Marker | None]]] = {}
    for name, version, marker in PINNED.findall((ROOT / "agent/tidegate/service/requirements.txt").read_text()):
        found.setdefault(name, []).append((Version(version), Marker(marker) if marker else None))
    return found


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [Requirement(line) for line in (*project["dependencies"], *extras["onnx"], *extras["metrics"])]


def test_every_dependency_is_pinned_within_its_range() -> None:
    pinned = pins()
    for requirement in asked():
        versions = [version for version, _ in pinned[requirement.name]]
        assert all(version in requirement.specifier for version in versions), (str(requirement), versions)


def test_one_version_of_each_holds_on_every_supported_python_and_system() -> None:
    for python in ("3.11", "3.12", "3.13", "3.14"):
        for system in ("linux", "darwin"):
            here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system}
            for name, versions in pins().items():
                held = [version for version, marker in versions if marker is None or marker.evaluate(here)]
                assert len(held) <= 1, (name, here, held)
                if name in {requirement.name for requirement in asked()}:
                    assert len(held) == 1, (name, here)


def test_torch_is_no_part_of_a_service_and_every_file_has_its_hash() -> None:
    text = (ROOT / "agent/tidegate/service/requirements.txt").read_text()
    assert "torch" not in pins()
    entries = PINNED.findall(text)
    blocks = re.split(PINNED.pattern, text, flags=re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    assert all("--hash=sha256:" in block for block in blocks[4::4])
