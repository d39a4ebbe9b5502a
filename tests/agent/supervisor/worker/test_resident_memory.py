"""A process's resident memory, as psutil sees it too."""

import subprocess
import sys

import psutil

from tidegate.supervisor.worker.resident import resident_bytes


def test_it_is_what_psutil_says_and_nothing_for_one_that_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        process_bytes = resident_bytes(process.pid)
        assert process_bytes is not None
        # It may grow between the two while it starts.
        assert 0 < process_bytes <= psutil.Process(process.pid).memory_info().rss + 2**20
    finally:
        process.communicate(b"\n", timeout=20)
    assert resident_bytes(process.pid) is None
