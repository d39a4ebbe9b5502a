"""Giving pages back: which code is meant, and that it still runs afterwards."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tidegate.engines.runtime import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")


def test_code_that_was_given_back_still_runs() -> None:
    matrix = np.random.default_rng(0).normal(size=(40, 40))
    before = np.linalg.inv(matrix)
    give_back = memory.giving_back()
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


_ANSWERS = """
import ctypes, resource, sys
from tidegate.engines.runtime.memory import keep_freed
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "kept":
    keep_freed()
def answer():
    values = [ctypes.c_void_p(libc.malloc(13 * 2**20)) for _ in range(2)]
    for value in values:
        libc.memset(value, 1, 13 * 2**20)
    for value in values:
        libc.free(value)
for _ in range(3):
    answer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    answer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator, which is left alone")
def test_what_answers_free_stays_for_the_next() -> None:
    def faults(heap: str) -> int:
        done = subprocess.run([sys.executable, "-c", _ANSWERS, heap], capture_output=True, text=True, check=True)
        return int(done.stdout)

    kept = faults("kept")
    assert kept < 10 * 2 * 13 * 2**20 / resource.getpagesize() / 100
    # Huge pages make both fewer, so that only their ratio tells.
    assert faults("as it comes") > 10 * kept
