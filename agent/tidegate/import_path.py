"""Where a process imports from: never the folder somebody happens to stand in, unless tidegate itself lies there.

A `yaml.py` or a `tidegate/` in the working directory would be run in place of ours, as whoever runs us.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]
ROOTS = (_HERE,) if (_HERE / "tidegate_drivers").is_dir() else (_HERE, _HERE.parent / "drivers")
"""The directories that hold our packages: one where they are installed, two in a clone."""


def leave_out_working_directory() -> None:
    """Take the working directory off the import path, and what PYTHONPATH names relative to it."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed, and nothing is imported from it
        return
    # Python puts it first for `-m` and `-c`; a console script has its own directory there.
    if not sys.flags.safe_path and sys.path and sys.path[0] in {"", str(here)}:
        del sys.path[0]
    for part in _python_path(os.environ):
        # Python has made it absolute by now.
        if not Path(part).is_absolute() and (meant := os.path.normpath(here / part)) in sys.path:
            sys.path.remove(meant)
    sys.path.extend(str(root) for root in ROOTS if str(root) not in sys.path)


def absolute_python_path(environment: Mapping[str, str]) -> str:
    """PYTHONPATH without what is relative to the working directory; an empty part of it means just that."""
    return os.pathsep.join(part for part in _python_path(environment) if Path(part).is_absolute())


def _python_path(environment: Mapping[str, str]) -> list[str]:
    found = environment.get("PYTHONPATH", "")
    return found.split(os.pathsep) if found else []
