"""Device trees as readable text: a path and its content a line, written under a temporary root."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.testing import device_tree

WriteTree = Callable[[str], Path]


@pytest.fixture
def write_tree(tmp_path: Path) -> WriteTree:
    """Writes the lines of a tree (tidegate_drivers.testing.device_tree) and gives the root."""

    def write(text: str) -> Path:
        device_tree.write(device_tree.parse(text), tmp_path)
        return tmp_path

    return write
