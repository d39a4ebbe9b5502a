"""A folder with everything that an installation takes, for devices without a network."""

import re
import sys
import tempfile
from pathlib import Path

from tidegate.service.release import Release
from tidegate.service.steps import Command, Directory, Step, TextFile

ASK_S = 300.0
FETCH_S = 1800.0
OLDEST_GLIBC_MINOR = 17
"""manylinux2014 is another name of manylinux_2_17."""


def steps(folder: Path, release: Release, scratch: Path, platform: str | None, python: str | None) -> list[Step]:
    """Download each dependency by its hash, and build tidegate; for another machine where one is named.

    `platform` is a tag such as manylinux_2_28_aarch64, `python` a version such as 3.13.
    """
    requirements = scratch / "requirements.txt"
    pip = (
        str(scratch / "venv/bin/python"),
        "-P",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
    )
    other = (
        *(part for tag in compatible(platform) for part in ("--platform", tag)),
        *(() if python is None else ("--python-version", python)),
    )
    rewrite = (
        str(scratch / "venv/bin/python"),
        "-P",
        str(Path(__file__).with_name("other_markers.py")),
        str(requirements),
        platform or "-",
        python or "-",
    )
    fetch = ("download", "--only-binary", ":all:", "--require-hashes", *other, "-d", str(folder))
    return [
        Directory(folder),
        TextFile(requirements, release.requirements, shown="(every dependency with its hashes)"),
        Command((sys.executable, "-P", "-m", "venv", str(scratch / "venv")), ASK_S),
        *([Command(rewrite, ASK_S)] if other else []),
        Command((*pip, *fetch, "-r", str(requirements)), FETCH_S),
        Command((*pip, "wheel", "--no-deps", "-w", str(folder), str(release.install)), FETCH_S),
    ]


def compatible(platform: str | None) -> list[str]:
    """The tags of wheels that run on a platform, newest first: pip takes of manylinux just the one named."""
    if platform is None:
        return []
    found = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", platform)
    if found is None:
        return [platform]
    newest, machine = int(found[1]), found[2]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, OLDEST_GLIBC_MINOR - 1, -1)]
    return [*tags, f"manylinux2014_{machine}"] if newest >= OLDEST_GLIBC_MINOR else [platform]


def scratch() -> "tempfile.TemporaryDirectory[str]":
    """A place for the environment that downloads."""
    return tempfile.TemporaryDirectory(prefix="tidegate-wheels-")
