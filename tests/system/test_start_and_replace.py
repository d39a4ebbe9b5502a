"""Whatever happened to the agent before, to its bundle and to its sockets' files: the next one serves."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from agent_process import BUNDLE, ENGINE, AgentProcess, rungs

from tidegate.models.bundle import open_bundle
from tidegate.supervisor.sockets.listeners import open_listeners
from tidegate.supervisor.worker.orphan import FILE_NAME, end_orphan, remember_worker
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec

StartAgent = Callable[..., AgentProcess]


def worker_of(agent: AgentProcess) -> psutil.Process:
    """The worker, as soon as there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for each in psutil.Process(agent.pid).children():
            if "tidegate.worker" in each.cmdline():
                return each
        time.sleep(0.01)
    raise AssertionError("no worker")


def gone(process: psutil.Process, within_s: float = 10.0) -> bool:
    try:
        process.wait(within_s)
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize(
    "moment", [pytest.param("starting", marks=pytest.mark.slow), "starting and stopped", "serving and stopped"]
)
def test_a_killed_supervisors_worker_keeps_nobody_out(
    tmp_path: Path, start_agent: StartAgent, moment: str
) -> None:
    agent = AgentProcess(tmp_path, None, {"listen": {"unix": str(tmp_path / "tidegate.sock"), "tcp": 0}})
    agent.start(wait="serving" in moment)
    worker = worker_of(agent)
    if "stopped" in moment:
        time.sleep(0.3)
        worker.suspend()
    agent.kill()
    next_one = start_agent()
    assert next_one.ask()[0] == 200
    assert gone(worker)


def test_the_next_supervisor_ends_a_worker_that_nothing_else_ends(tmp_path: Path) -> None:
    sleeper = psutil.Popen(["sleep", "60"])
    remember_worker(tmp_path / FILE_NAME, sleeper.pid)
    sleeper.suspend()
    end_orphan(tmp_path / FILE_NAME)
    assert gone(sleeper, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil tells who a process is")
def test_looking_for_a_worker_that_is_gone_loads_no_psutil(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"pid": 4194305, "started": 1.0}')  # above Linux's largest number
    looks = f"""
import sys
from pathlib import Path
from tidegate.supervisor.worker.orphan import end_orphan
end_orphan(Path({str(tmp_path / FILE_NAME)!r}))
sys.exit("psutil" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", looks], check=False).returncode == 0


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "[]",
        "{}",
        '{"pid": "x", "started": 1}',
        '{"pid": -1, "started": 0}',
        '{"pid": 1e400, "started": 0}',
    ],
)
def test_a_record_that_says_nothing_ends_nothing(tmp_path: Path, written: str | None) -> None:
    if written is not None:
        (tmp_path / FILE_NAME).write_text(written)
    end_orphan(tmp_path / FILE_NAME)
    (tmp_path / FILE_NAME).write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    end_orphan(tmp_path / FILE_NAME)  # a later process of the same number


def other_bundle(directory: Path) -> str:
    """Another bundle by the same name, with other labels; its hash."""
    shutil.copytree(BUNDLE, directory)
    manifest = json.loads((directory / "bundle.json").read_text())
    manifest["labels"] = [f"digit {label}" for label in manifest["labels"]]
    (directory / "bundle.json").write_text(json.dumps(manifest))
    return open_bundle(directory).sha256


def test_a_replaced_bundle_is_served_whole_or_not_at_all(tmp_path: Path, start_agent: StartAgent) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)
    agent = start_agent(bundle=str(bundle))
    new = other_bundle(tmp_path / "new")
    bundle.rename(tmp_path / "old")
    (tmp_path / "new").rename(bundle)
    # The worker has what it opened, and goes on.
    assert agent.ask()[0] == 200
    killed = agent.kill_worker()
    agent.wait_until(
        lambda status: status.worker.state == "serving" and status.worker.pid != killed and status.uptime_s < 60,
        60,
    )
    assert agent.ask()[0] == 200
    text = agent.log()
    assert "holds another bundle" in text
    assert f"{new[:12]}" in text
    assert "starting over with it" in text
    assert agent.status().worker.restarts == 0


def test_a_bundle_that_is_no_longer_one_says_so_until_it_is_back(tmp_path: Path, start_agent: StartAgent) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)
    agent = start_agent(bundle=str(bundle))
    bundle.rename(tmp_path / "away")
    killed = agent.kill_worker()
    agent.wait_until(lambda status: status.worker.restarts >= 2, 60)
    assert "is not a directory" in agent.log()
    assert "Traceback" not in agent.log()
    (tmp_path / "away").rename(bundle)
    agent.wait_until(lambda status: status.worker.state == "serving" and status.worker.pid != killed, 60)
    assert agent.ask()[0] == 200


def test_weights_that_changed_refuse_a_switch_and_cost_no_worker(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)

    async def switch() -> None:
        listeners = open_listeners(tmp_path / "tidegate.sock", None)
        spec = WorkerSpec(bundle, ENGINE, listeners.sockets, bundle_sha256=open_bundle(bundle).sha256)
        worker = WorkerProcess(spec, "full", lambda _: None)
        running = asyncio.create_task(worker.run())
        await asyncio.wait_for(worker.wait_ready(), 90)
        (tmp_path / "weights").write_bytes((bundle / "weights.safetensors").read_bytes()[::-1])
        (tmp_path / "weights").rename(bundle / "weights.safetensors")
        switched = await worker.switch(rungs(ENGINE)[1])
        assert (switched.ok, switched.point) == (False, "full")
        assert "changed since the bundle was opened" in switched.reason
        (bundle / "weights.safetensors").unlink()
        switched = await worker.switch(rungs(ENGINE)[1])
        assert not switched.ok
        await worker.ping()
        assert worker.restarts == 0
        assert worker.bundle_changed.is_set()
        await worker.stop()
        await running
        listeners.close()

    asyncio.run(switch())


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_sockets_whose_files_are_deleted_come_back(tmp_path: Path, start_agent: StartAgent, whole: bool) -> None:
    sockets = tmp_path / "run"
    agent = start_agent(listen={"unix": str(sockets / "tidegate.sock"), "tcp": 0})
    before = agent.status().worker.pid
    if whole:
        shutil.rmtree(sockets)
    else:
        (sockets / "tidegate.sock").unlink()
    (agent.state_dir / "status.sock").unlink()
    (agent.state_dir / "command.sock").unlink()
    deadline = time.monotonic() + 20
    while not all(
        file.is_socket()
        for file in (sockets / "tidegate.sock", agent.state_dir / "status.sock", agent.state_dir / "command.sock")
    ):
        assert time.monotonic() < deadline, agent.log()
        time.sleep(0.05)
    agent.wait_until(lambda status: status.worker.state == "serving" and status.worker.pid != before, 60)
    (tmp_path / "tidegate.sock").symlink_to(sockets / "tidegate.sock")
    assert agent.ask()[0] == 200
    assert "somebody deleted it" in agent.log()
    assert agent.end() == 0
    agent.start()
