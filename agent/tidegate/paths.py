"""Where the files that come with tidegate are, and where it keeps what it can do without."""

import os
from pathlib import Path
from typing import Literal


def profiles_directory() -> Path:
    """profiles/ of the clone, or the copy inside an installed package."""
    package = Path(__file__).parent
    packaged = package / "profiles"
    return packaged if packaged.is_dir() else package.parents[1] / "profiles"


def docs_directory() -> Path:
    """docs/ of the clone, or its pages inside an installed package."""
    package = Path(__file__).parent
    packaged = package / "docs"
    return packaged if packaged.is_dir() else package.parents[1] / "docs"


def benchmarks_directory() -> Path | None:
    """The benchmarks' package: in a clone it lies beside ours, an installed tidegate comes without it."""
    package = Path(__file__).parents[1] / "tidegate_bench"
    return package if package.is_dir() else None


def cache_directory() -> Path:
    """For what can be measured again; systemd names it (CacheDirectory=), else it is the user's."""
    named = os.environ.get("CACHE_DIRECTORY")
    return Path(named) if named else user_directory("cache")


def user_directory(kind: Literal["cache", "state"]) -> Path:
    """The user's own directory for tidegate, where the system has such directories."""
    import platformdirs  # noqa: PLC0415 - an installed service has both named, and does without half a MB

    return (
        platformdirs.user_cache_path("tidegate") if kind == "cache" else platformdirs.user_state_path("tidegate")
    )
