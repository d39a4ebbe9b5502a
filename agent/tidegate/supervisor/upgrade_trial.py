"""Whether the version that runs here is on trial, as the installation keeps it in a file."""

import sys
from pathlib import Path

from tidegate.last_trial import read_before_trial


def version_before(environment: Path = Path(sys.prefix)) -> str | None:
    """The version that comes back if this one fails its trial; None without a trial, and outside of a service."""
    if environment.parent.name != "versions":
        return None
    before = read_before_trial(environment.parents[1])
    if before is None or Path(before).name == environment.name:
        return None
    return Path(before).name
