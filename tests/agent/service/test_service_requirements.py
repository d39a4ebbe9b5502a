"""What a service installs is what pyproject.toml asks for, each file by its hash."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

from tidegate.service.release import EXTRAS

ROOT = Path(__file__).parents[3]
SERVICE = ROOT / "agent/tidegate/service"
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\$", re.MULTILINE)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))

Pins = dict[str, list[tuple[Version, Marker | None]]]


def text_of(extra: str | None) -> str:
    return (SERVICE / ("requirements.txt" if extra is None else f"requirements-{extra}.txt")).read_text()


def pins(extra: str | None = None) -> Pins:
    found: Pins = {}
    for name, version, marker in PINNED.findall(text_of(extra)):
        found.setdefault(name, []).append((Version(version), Marker(marker) if marker else None))
    return found


def asked(extra: str | None = None) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    always = [
        *project["dependencies"],
        *(line for each in ("onnx", "litert", "metrics", "apple") for line in extras[each]),
    ]
    return [Requirement(line) for line in (always if extra is None else extras[extra])]


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_every_dependency_is_pinned_within_its_range(extra: str | None) -> None:
    pinned = pins(extra)
    for requirement in asked(extra):
        versions = [version for version, _ in pinned[requirement.name]]
        assert all(version in requirement.specifier for version in versions), (str(requirement), versions)


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_one_version_of_each_holds_on_every_supported_python_and_machine(extra: str | None) -> None:
    pinned, wanted = pins(extra), asked(extra)
    for python in PYTHONS:
        for system, machine in MACHINES:
            full = {"python_version": python, "python_full_version": f"{python}.0"}
            here = {**full, "sys_platform": system, "platform_machine": machine}
            held = {
                name: [version for version, marker in versions if marker is None or marker.evaluate(here)]
                for name, versions in pinned.items()
            }
            assert {name: versions for name, versions in held.items() if len(versions) > 1} == {}, here
            missing = [
                str(each)
                for each in wanted
                if (each.marker is None or each.marker.evaluate(here)) and not held[each.name]
            ]
            assert missing == [], here


def test_a_service_on_linux_brings_nothing_of_apples_and_none_brings_torch() -> None:
    here = {"python_version": "3.11", "python_full_version": "3.11.0", "sys_platform": "linux"}
    held = {
        name
        for name, versions in pins().items()
        if any(
            marker is None or marker.evaluate({**here, "platform_machine": "aarch64"}) for _, marker in versions
        )
    }
    assert {"onnxruntime", "ai-edge-litert", "prometheus-client"} <= held
    assert held.isdisjoint({"mlx", "coremltools", "zeus-apple-silicon", "sympy"})
    assert "torch" not in pins()


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_pins_nothing_that_every_service_has(extra: str) -> None:
    assert pins(extra).keys().isdisjoint(pins())


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_every_file_has_its_hash(extra: str | None) -> None:
    text = text_of(extra)
    entries = PINNED.findall(text)
    blocks = re.split(PINNED.pattern, text, flags=re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    assert all("--hash=sha256:" in block for block in blocks[4::4])
