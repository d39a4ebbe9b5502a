"""Packages that only some commands need: which one a missing module is of, and the command that installs it."""

import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires

_PACKAGES = {"PIL": "pillow", "pynvml": "nvidia-ml-py", "sklearn": "scikit-learn"}
"""Packages by module, where the two have different names."""


def missing(module: str) -> str | None:
    """What to tell a user who lacks `module`; None when it is none that an extra of tidegate brings."""
    name = module.partition(".")[0]
    package = _PACKAGES.get(name, name).replace("_", "-")
    requirement = _requirement(package)
    if requirement is None:
        return None
    called = package if package == name else f"{package} (module {name})"
    command = shlex.join([sys.executable, "-m", "pip", "install", requirement])
    without_cuda = ", and with --torch-index URL a torch without CUDA" if name == "torch" else ""
    clone = f"(in a clone, ./install.sh dev brings everything{without_cuda})"
    return f"{called} is missing; install it: {command}\n{clone}"


def _requirement(package: str) -> str | None:
    """How tidegate's own metadata asks for an optional package, with the versions that it was tried with."""
    try:
        stated = requires("tidegate") or []
    except PackageNotFoundError:
        return None
    for line in stated:
        requirement, _, marker = line.partition(";")
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        if "extra ==" in marker and found is not None and found.group().lower() == package.lower():
            return requirement.strip()
    return None
