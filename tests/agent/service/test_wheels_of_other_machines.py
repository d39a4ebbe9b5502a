"""Which requirements a folder of wheels for another machine takes."""

import re
from importlib.resources import files

import pytest

from tidegate.service.other_markers import environment, kept
from tidegate.service.wheels import compatible

REQUIREMENTS = (files("tidegate.service") / "requirements.txt").read_text()
MIXED = """\
# about it
anywhere==1.0 \\
    --hash=sha256:00
    # via tidegate
new-python==2 ; python_full_version >= '3.12' \\
    --hash=sha256:01 \\
    --hash=sha256:02
mac==3 ; sys_platform == 'darwin' and platform_machine == 'arm64' \\
    --hash=sha256:03
board==4 ; platform_system == 'Linux' and platform_machine == 'aarch64' \\
    --hash=sha256:04
"""


@pytest.mark.parametrize(
    ("platform", "python", "names"),
    [
        ("manylinux_2_28_aarch64", "3.11", {"anywhere", "board"}),
        ("manylinux2014_aarch64", "3.13", {"anywhere", "board", "new-python"}),
        ("linux_aarch64", "3.12.4", {"anywhere", "board", "new-python"}),
        ("macosx_14_0_arm64", "3.11.9", {"anywhere", "mac"}),
        ("manylinux_2_28_x86_64", "3.14", {"anywhere", "new-python"}),
    ],
)
def test_markers_are_those_of_the_machine_named(platform: str, python: str, names: set[str]) -> None:
    assert set(re.findall(r"^[a-z-]+", kept(MIXED, environment(platform, python)), re.MULTILINE)) == names


def test_hashes_stay_and_markers_go() -> None:
    assert kept(MIXED, environment("manylinux_2_28_x86_64", "3.13")) == (
        "anywhere==1.0 \\\n    --hash=sha256:00\n    # via tidegate\n"
        "new-python==2 \\\n    --hash=sha256:01 \\\n    --hash=sha256:02\n"
    )


@pytest.mark.parametrize(
    ("platform", "first", "last", "number"),
    [
        ("manylinux_2_28_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64", 13),
        ("manylinux_2_17_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", 2),
        ("manylinux2014_aarch64", "manylinux2014_aarch64", "manylinux2014_aarch64", 1),
        ("macosx_14_0_arm64", "macosx_14_0_arm64", "macosx_14_0_arm64", 1),
    ],
)
def test_wheels_for_an_older_system_are_taken_too(platform: str, first: str, last: str, number: int) -> None:
    tags = compatible(platform)
    assert (tags[0], tags[-1], len(tags)) == (first, last, number)
    assert compatible(None) == []


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_of_our_own_each_package_is_there_once(python: str) -> None:
    found = re.findall(r"^([a-z0-9-]+)==", kept(REQUIREMENTS, environment("-", python)), re.MULTILINE)
    assert len(found) == len(set(found))
    assert {"numpy", "onnxruntime", "pydantic"} <= set(found)
    assert "colorama" not in found
