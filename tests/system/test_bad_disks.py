"""A real agent whose state directory is full, read-only, damaged or taken away: it serves, says so, recovers."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agent_process import AgentProcess
from small_disk import run_on_small_disk

StartAgent = Callable[..., AgentProcess]

_START = """
import os, shutil, subprocess, sys, time
from pathlib import Path
from agent_process import AgentProcess, StatusError
work = Path({work!r})
state = Path.cwd() / "state"
agent = AgentProcess(work, None, {{"state_dir": str(state), "listen": {{"unix": str(work / "tidegate.sock")}}}})
agent.state_dir = state
def fill():
    ballast = open("ballast", "ab", buffering=0)
    try:
        while True: ballast.write(b"x" * 4096)
    except OSError: pass
def troubles(status): return {{trouble.part: trouble.because for trouble in status.troubles}}
def accounts(status):
    t = status.telemetry
    return t.spooled == t.published + sum(t.dropped.values()) + t.merged + t.waiting
def wait_served():
    deadline = time.monotonic() + 60
    while True:
        try:
            if agent.ask()[0] == 200: return
        except OSError: pass
        assert agent._process.poll() is None, (agent._process.returncode, agent.log())
        assert time.monotonic() < deadline, agent.log()
        time.sleep(0.2)
try:
    {body}
finally:
    if agent._process and agent._process.poll() is None: agent.end()
    # Whatever the agent met, it was not a surprise to it.
    assert "tidegate/telemetry/" not in agent.log() and "tidegate/supervisor/" not in agent.log(), agent.log()
"""


def run(body: str, tmp_path: Path, size: str) -> None:
    work, disk = tmp_path / "work", tmp_path / "disk"
    work.mkdir()
    disk.mkdir()
    code = _START.format(work=str(work), body="\n    ".join(body.strip().splitlines()))
    run_on_small_disk(code, disk, size, timeout_s=110)


def test_a_restart_on_a_full_disk_serves_and_recovers(tmp_path: Path) -> None:
    run(
        """
agent.start()
agent.wait_until(lambda s: s.telemetry.waiting > 3)
fill()
agent.kill()
agent.start()
fill()  # again, since what the log of the killed one had taken is free once it is read
status = agent.wait_until(lambda s: {"state directory", "spool"} & troubles(s).keys())
assert "full" in " ".join(troubles(status).values()), troubles(status)
assert agent.ask()[0] == 200
status = agent.wait_until(lambda s: (s.telemetry.in_memory or 0) > 2)
assert accounts(status), status.telemetry
assert status.telemetry.spooled > 3, "what was there is still counted"
os.truncate("ballast", 0)
status = agent.wait_until(lambda s: not s.troubles and s.telemetry.in_memory == 0)
assert accounts(status), status.telemetry
assert any("works again" in str(event["text"]) for event in status.recent), status.recent
assert agent.log().count("full disk: free some room") == 1, "said once"
assert agent.end() == 0
""",
        tmp_path,
        "2m",
    )


@pytest.mark.slow
def test_a_first_start_on_a_full_disk_serves(tmp_path: Path) -> None:
    run(
        """
state.mkdir()
fill()
agent.start()
status = agent.wait_until(lambda s: "spool" in troubles(s) and (s.telemetry.in_memory or 0) > 1)
assert agent.ask()[0] == 200
os.truncate("ballast", 0)
status = agent.wait_until(lambda s: not s.troubles and s.telemetry.in_memory == 0)
assert accounts(status)
assert agent.end() == 0
agent.start()
assert agent.status().telemetry.spooled >= status.telemetry.spooled
""",
        tmp_path,
        "1m",
    )


@pytest.mark.parametrize("before", [pytest.param("first start", marks=pytest.mark.slow), "restart"])
def test_a_read_only_state_directory_serves(tmp_path: Path, before: str) -> None:
    first = "agent.start(); agent.end()" if before == "restart" else "state.mkdir()"
    run(
        first
        + """
subprocess.run(["mount", "-o", "remount,ro", str(Path.cwd())], check=True)
agent.start(wait=False)
wait_served()
deadline = time.monotonic() + 20
while "read-only" not in agent.log(): assert time.monotonic() < deadline, agent.log(); time.sleep(0.2)
assert agent.end() == 0
subprocess.run(["mount", "-o", "remount,rw", str(Path.cwd())], check=True)
agent.start()
assert not agent.status().troubles
""",
        tmp_path,
        "2m",
    )


def test_a_state_directory_taken_away_is_made_again(start_agent: StartAgent) -> None:
    agent = start_agent()
    before = agent.wait_until(lambda status: (status.telemetry.waiting or 0) > 3).telemetry
    aside = agent.state_dir.with_name("aside")
    agent.state_dir.rename(aside)
    for name in ("status.sock", "command.sock"):
        # The sockets are another matter: here it is about what is kept.
        agent.state_dir.mkdir(exist_ok=True)
        (aside / name).rename(agent.state_dir / name)
    shutil.rmtree(aside)
    status = agent.wait_until(lambda status: (status.telemetry.spooled or 0) > (before.spooled or 0) + 3)
    assert status.telemetry.in_memory == 0
    assert (agent.state_dir / "spool.db").exists()
    # It is looked at what does not work every few seconds.
    agent.wait_until(lambda status: any("removed while in use" in str(each["text"]) for each in status.recent))
    assert agent.ask()[0] == 200
    assert agent.end() == 0
    agent.start()
    assert (agent.status().telemetry.spooled or 0) >= (status.telemetry.spooled or 0)


STATE_FILES = [
    *(
        "session",
        "latest_time",
        "last_run.json",
        "drift.json",
        "controls.json",
        "lock",
        "spool.db",
        "spool.db.seq",
    ),
    *("schema", "migration.json"),
]


@pytest.mark.parametrize(
    "what",
    [
        "directory",
        "noise",
        *(pytest.param(what, marks=pytest.mark.slow) for what in ("empty", "pipe", "dangling link")),
    ],
)
def test_whatever_stands_in_place_of_its_files_an_agent_serves(tmp_path: Path, what: str) -> None:
    agent = AgentProcess(tmp_path, None, {})
    agent.state_dir.mkdir()
    for name in (*STATE_FILES, *(f"{name}.new" for name in STATE_FILES), "status.sock", "command.sock"):
        place = agent.state_dir / name
        match what:
            case "directory":
                place.mkdir()
                (place / "mine").touch()
            case "noise":
                place.write_bytes(bytes(range(256)) * 20)
            case "empty":
                place.touch()
            case "pipe":
                os.mkfifo(place)
            case "dangling link":
                place.symlink_to(agent.directory / "nowhere" / "at all")
    with running(agent):
        status = agent.wait_until(lambda status: (status.telemetry.waiting or 0) > 1)
        (said,) = (trouble.because for trouble in status.troubles if trouble.part == "state")
        missing = what == "dangling link"
        assert all(
            f"{name}: " in said for name in ("schema", "session", "last_run.json", "drift.json") if not missing
        )
        assert agent.ask()[0] == 200
    with running(agent):
        assert agent.status().troubles == ()
    assert "Traceback" not in agent.log()


@contextmanager
def running(agent: AgentProcess) -> Iterator[None]:
    """Started, and ended in order whatever happens."""
    agent.start()
    try:
        yield
    finally:
        ended = agent.end()
    assert ended == 0
