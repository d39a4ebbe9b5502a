"""What a release says of what it is made of: no dependency is missing, every licence is the package's own."""

import json
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from release.licences import NOT_HERE, PAGE, stated, texts
from release.pins import FILES, all_pins, pins
from release.vendored import vendored, without_licence

TEXT = "".join(file.read_text() for file in FILES)
PINS = all_pins()
LICENCES = stated(PAGE.read_text())
FREE_WORDS = {
    "BSD": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "ISC License": "ISC",
}
BY_CLASSIFIER = {"MIT License": "MIT", "BSD License": "BSD-3-Clause", "Apache Software License": "Apache-2.0"}


def own_words(package: str) -> str | None:
    """What a package says of its licence itself, as SPDX; None where it is not installed."""
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return None
    said = told.get("License-Expression") or told.get("License")
    if said:
        return FREE_WORDS.get(said, said)
    (classifier,) = (each for each in told.get_all("Classifier", []) if each.startswith("License"))
    return BY_CLASSIFIER[classifier.rpartition(" :: ")[2]]


def test_every_pin_is_read_with_its_hashes_and_who_needs_it() -> None:
    assert {(pin.name, pin.version) for pin in PINS} == set(
        re.findall(r"^([a-z0-9-]+)==(\S+)", TEXT, re.MULTILINE)
    )
    assert sum(len(pin.sha256) for pin in PINS) == TEXT.count("--hash=sha256:")
    needed_by = {pin.name: pin.via for pin in PINS}
    assert needed_by["annotated-types"] == ("pydantic",)
    assert "tidegate" in needed_by["numpy"]
    assert all(pin.via for pin in PINS)


def test_a_pin_without_a_hash_is_found() -> None:
    with pytest.raises(ValueError, match="2 pins are there, and 1 could be read"):
        pins(f"a==1 \\\n    --hash=sha256:{'0' * 64}\n    # via tidegate\nb==2\n    # via a\n")


def test_no_dependency_is_missing_from_the_licences_and_none_is_there_for_nothing() -> None:
    assert set(LICENCES) == {pin.name for pin in PINS}


def test_each_licence_is_what_the_package_says_itself() -> None:
    told = {name: own_words(name) for name in LICENCES}
    assert {name: said for name, said in told.items() if said and said != LICENCES[name]} == {}
    assert Counter(told.values())[None] < len(LICENCES) / 2


def test_every_package_brings_the_text_of_its_licence() -> None:
    here = [name for name in LICENCES if own_words(name) is not None]
    written = texts(here, LICENCES)
    for name in set(here) - NOT_HERE:
        assert f"\n{name}: {LICENCES[name]}\n" in written
    assert "libsodium" in written


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(LookupError, match="no-such-package is not installed"):
        texts(["no-such-package"], {"no-such-package": "MIT"})


def test_what_is_copied_into_the_package_has_its_licence_beside_it() -> None:
    agent = Path(__file__).parent.parent / "agent"
    assert without_licence(agent) == []
    vendored(agent)


def copied_chart(directory: Path) -> None:
    (directory / "chart.min.js").write_text("/*! https://chart.example (v1.6.32) */var a;")
    (directory / "chart.LICENSE").write_text("The MIT License (MIT)\n\nCopyright somebody\n")


def test_a_copied_library_is_read_with_version_and_hash(tmp_path: Path) -> None:
    copied_chart(tmp_path)
    (library,) = vendored(tmp_path)
    assert (library.name, library.version, library.licence) == ("chart", "1.6.32", "MIT")
    assert set(library.sha256) == {"chart.min.js"}
    (tmp_path / "chart.LICENSE").unlink()
    assert without_licence(tmp_path) == [tmp_path / "chart.min.js"]


def test_a_copied_library_without_version_or_known_licence_is_refused(tmp_path: Path) -> None:
    copied_chart(tmp_path)
    (tmp_path / "chart.min.js").write_text("var a;")
    with pytest.raises(ValueError, match=r"none of chart\.min\.js says its version"):
        vendored(tmp_path)
    (tmp_path / "chart.LICENSE").write_text("Do what you like\n")
    with pytest.raises(ValueError, match="known are"):
        vendored(tmp_path)


def test_the_bill_has_every_pin_and_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx", reason="needs tidegate[release]")
    from release.sbom import bill_of_materials  # noqa: PLC0415 - an extra

    at = datetime(2026, 11, 28, tzinfo=UTC)
    copied_chart(tmp_path)
    copied = vendored(tmp_path)
    bill = bill_of_materials("0.2.0", "0" * 64, PINS, LICENCES, copied, at)
    assert bill == bill_of_materials("0.2.0", "0" * 64, PINS, LICENCES, copied, at)
    told = json.loads(bill)
    components = {(each["name"], each["version"]) for each in told["components"]}
    assert components == {*((pin.name, pin.version) for pin in PINS), ("chart", "1.6.32")}
    needs = {each["ref"]: each.get("dependsOn", []) for each in told["dependencies"]}
    assert any(ref.startswith("numpy@") for ref in needs["tidegate@0.2.0"])
