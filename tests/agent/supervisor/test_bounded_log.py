"""The file behind standard error stays within its limit, whoever writes to it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.supervisor.bounded_log import LEAST_BYTES, LIMIT_VARIABLE, BoundedLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    """A descriptor as launchd may open it: for writing, and not for appending."""
    descriptor = os.open(tmp_path / "agent.log", os.O_CREAT | os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


def test_what_outgrows_the_limit_is_copied_and_cut(log: int, tmp_path: Path) -> None:
    bounded = BoundedLog(0, log)
    os.write(log, b"a" * LEAST_BYTES)
    bounded.look()
    assert not (tmp_path / "agent.log.1").exists()
    os.write(log, b"b")
    bounded.look()
    assert (tmp_path / "agent.log").read_bytes() == b""
    assert (tmp_path / "agent.log.1").read_bytes() == b"a" * LEAST_BYTES + b"b"


def test_a_child_writes_on_at_the_new_end(log: int, tmp_path: Path) -> None:
    """The worker has inherited the file from before it was cut."""
    bounded = BoundedLog(0, log)
    with subprocess.Popen(
        ["sh", "-c", "read line; echo from a child >&2"], stdin=subprocess.PIPE, stderr=log
    ) as child:
        os.write(log, b"a" * (LEAST_BYTES + 1))
        bounded.look()
        child.communicate(b"go\n", timeout=20)
    assert (tmp_path / "agent.log").read_text() == "from a child\n"


def test_a_file_that_was_removed_is_cut_all_the_same(log: int, tmp_path: Path) -> None:
    bounded = BoundedLog(0, log)
    (tmp_path / "agent.log").unlink()
    os.write(log, b"a" * (LEAST_BYTES + 1))
    bounded.look()
    assert os.fstat(log).st_size == 0


def test_only_a_plain_file_is_bounded_and_only_where_that_is_asked_for(
    log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    assert BoundedLog.asked_for(log) is None
    monkeypatch.setenv(LIMIT_VARIABLE, "100000")
    assert BoundedLog.asked_for(log) is not None
    reading, writing = os.pipe()
    assert BoundedLog.asked_for(writing) is None
    os.close(reading)
    os.close(writing)
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    assert BoundedLog.asked_for(log) is None
