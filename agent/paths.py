"""Where the files that come with tidegate are."""

from pathlib import Path


def profiles_directory() -> Path:
    """profiles/ of the clone, or the copy inside an installed package."""
    package = Path(__file__).parent
    packaged = package / "profiles"
    return packaged if packaged.is_dir() else package.parent / "profiles"
