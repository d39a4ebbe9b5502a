"""A state directory on a disk that is full: pushes are answered truthfully, and the next one needs no restart."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from agent_process import BELOW_FULL, AgentProcess, pinned

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.push import push
from tidegate.telemetry.payloads.envelope import Target, seal

pytestmark = pytest.mark.broker


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


PAGE = 4096
"""What a tmpfs gives out at once."""

LONG_COMMENT = "\n" + f"# {'-' * 98}\n" * 600
"""More than the agent gives up between two writes of the filler."""


@contextmanager
def kept_full(disk: Path) -> Iterator[None]:
    """Not one byte is free there, whatever the agent gives up; afterwards there is room."""
    over = Event()
    filler = disk / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            size = 1 << 20
            while not over.wait(0 if size else 0.005):
                try:
                    file.write(b"\0" * (size or PAGE))
                except OSError:
                    size //= 2

    thread = Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        filler.unlink()


def test_a_push_on_a_full_disk_waits_and_is_taken_when_there_is_room(
    start_agent: Callable[..., AgentProcess], broker: LocalBroker, small_disk: Path
) -> None:
    agent = start_agent(broker, allow_unsigned=True, state_dir=str(small_disk / "state"))
    agent.wait_until(lambda status: status.telemetry.link == "online")
    target = Target("device", agent.device)
    with kept_full(small_disk):
        long = seal(pinned(BELOW_FULL, 2) + LONG_COMMENT, 2, target)
        assert push(broker.address, long, 8.0).outcome != "accepted"
        status = agent.status()
        assert (status.policy.version, status.policy_pushes_applied) == (1, 0)
        assert any("has to wait" in str(event["text"]) for event in status.recent)
        assert agent.ask()[0] == 200
    assert agent.wait_until(lambda status: status.policy.version == 2, 60).point
    assert push(broker.address, seal(pinned("full", 3), 3, target)).outcome == "accepted"
    agent.kill()
    agent.start()
    assert agent.status().policy.version == 3
