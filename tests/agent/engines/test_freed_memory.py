"""Giving pages back: which code is meant, and that it still runs afterwards."""

import sys
from pathlib import Path

import numpy as np
import pytest

from agent.engines import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")


def test_code_that_was_given_back_still_runs() -> None:
    matrix = np.random.default_rng(0).normal(size=(40, 40))
    before = np.linalg.inv(matrix)
    give_back = memory._returning()
    assert give_back is not None
    give_back()
    assert np.array_equal(np.linalg.inv(matrix), before)


def test_only_large_executable_mappings_of_files_are_meant() -> None:
    maps = Path("/proc/self/maps").read_text()
    lines = [line.split(maxsplit=5) for line in maps.splitlines()]
    code = {int(line[0].split("-")[0], 16) for line in lines if line[1] == "r-xp" and line[-1].startswith("/")}
    found = memory._code()
    assert found
    assert {start for start, _ in found} <= code
    assert all(length >= 2**20 for _, length in found)
