"""`python other_markers.py REQUIREMENTS PLATFORM PYTHON`: keeps in a file the requirements of another machine.

pip download judges markers by the Python that it runs on, whatever --platform and --python-version say
(https://github.com/pypa/pip/issues/11664). Run by the Python of an environment that has pip, whose own copy of
packaging it takes; - stands for what is the same as here.
"""

import re
import sys
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

_SYSTEMS = {"linux": "Linux", "darwin": "Darwin"}


def environment(platform: str, python: str) -> dict[str, str]:
    """What a tag such as manylinux_2_28_aarch64 and a version such as 3.13 say of markers (PEP 508)."""
    found: dict[str, str] = {}
    if platform != "-":
        system = "darwin" if platform.startswith("macosx") else "linux"
        machine = re.sub(r"^(macosx|manylinux|musllinux)_\d+_\d+_|^(manylinux\d*|linux)_", "", platform)
        found |= {"sys_platform": system, "platform_system": _SYSTEMS[system], "platform_machine": machine}
    if python != "-":
        full = python if python.count(".") > 1 else f"{python}.0"
        found |= {"python_version": ".".join(full.split(".")[:2]), "python_full_version": full}
    return found


def kept(requirements: str, variables: dict[str, str]) -> str:
    """The requirements whose markers hold there, with their hashes and without the markers."""
    whole = []
    for entry in re.findall(r"^[^\s#].*(?:\n[ \t].*)*", requirements, re.MULTILINE):
        wanted, continued, rest = entry.partition(" \\\n")
        requirement = Requirement(wanted)
        if requirement.marker is None or requirement.marker.evaluate(variables):
            requirement.marker = None
            whole.append(f"{requirement}{continued}{rest}")
    return "\n".join(whole) + "\n"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(kept(file.read_text(), environment(sys.argv[2], sys.argv[3])))
