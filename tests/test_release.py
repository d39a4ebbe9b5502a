"""A release is one version and one day, wherever they stand."""

import re
from importlib.metadata import version
from pathlib import Path

import tidegate

CHANGELOG = (Path(__file__).parent.parent / "CHANGELOG.md").read_text()
HEADINGS = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
RELEASES = [re.fullmatch(r"\[?(\d+\.\d+\.\d+)\]? - (\d{4}-\d\d-\d\d)", each) for each in HEADINGS]


def test_the_newest_release_is_this_version_on_its_day() -> None:
    newest = next(found for found in RELEASES if found is not None)
    assert newest.groups() == (tidegate.__version__, f"{tidegate.RELEASED:%Y-%m-%d}")
    assert version("tidegate") == tidegate.__version__, "installed from another version: run ./install.sh dev"


def test_releases_stand_newest_first_behind_what_is_not_released() -> None:
    unknown = [heading for heading, found in zip(HEADINGS, RELEASES, strict=True) if found is None]
    assert unknown in ([], ["Unreleased"])
    assert not unknown or HEADINGS[0] == "Unreleased"
    numbers = [tuple(map(int, found.group(1).split("."))) for found in RELEASES if found is not None]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == len(numbers)
