"""Device trees as readable text: a path and its content a line, written under a temporary root."""

from collections.abc import Callable
from pathlib import Path

import pytest

WriteTree = Callable[[str], Path]


@pytest.fixture
def write_tree(tmp_path: Path) -> WriteTree:
    """Writes `path: content` lines (a literal backslash-n separates lines of one file) and gives the root.

    A line that ends in `/` instead makes an empty directory.
    """

    def write(text: str) -> Path:
        for line in filter(None, map(str.strip, text.splitlines())):
            name, _, content = line.partition(" ")
            path = tmp_path / name.removesuffix(":")
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(content.replace("\\n", "\n") + "\n")
        return tmp_path

    return write
