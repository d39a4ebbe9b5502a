"""Packages that only some commands need: which one a missing module is of, and the command that installs it."""

import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires

_PACKAGES = {"PIL": "pillow", "pynvml": "nvidia-ml-py", "sklearn": "scikit-learn"}
"""Packages by module, where the two have different names."""


_BUILDING = ("torch", "onnx", "data", "plot")
"""The extras that `./install.sh build` installs; `dev` installs those and more."""


def missing(module: str) -> str | None:
    """What to tell a user who lacks `module`; None when it is none that an extra of tidegate brings."""
    name = module.partition(".")[0]
    package = _PACKAGES.get(name, name).replace("_", "-")
    found = _requirement(package)
    if found is None:
        return None
    requirement, extra = found
    called = package if package == name else f"{package} (module {name})"
    command = shlex.join([sys.executable, "-m", "pip", "install", requirement])
    without_cuda = ", and with --torch-index URL a torch without CUDA" if name == "torch" else ""
    verb = "build" if extra in _BUILDING else "dev"
    clone = f"(in a clone, ./install.sh {verb} brings it and more{without_cuda})"
    return f"{called} is missing; install it: {command}\n{clone}"


def lacking(package: str) -> str:
    """What to tell a user who lacks `package`, whatever tidegate's metadata knows of it."""
    bare = shlex.join([sys.executable, "-m", "pip", "install", package])
    return missing(package) or f"{package} is missing; install it: {bare}"


def _requirement(package: str) -> tuple[str, str] | None:
    """How tidegate's metadata asks for an optional package, with the versions tried, and the extra it is in."""
    try:
        stated = requires("tidegate") or []
    except PackageNotFoundError:
        return None
    for line in stated:
        requirement, _, marker = line.partition(";")
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra == ['\"]([a-z-]+)['\"]", marker)
        if "sys_platform" in marker and not re.search(rf"sys_platform == ['\"]{sys.platform}['\"]", marker):
            continue
        if extra is not None and found is not None and found.group().lower() == package.lower():
            return requirement.strip(), extra[1]
    return None
