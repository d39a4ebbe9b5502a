"""What systemd hears of a real agent: READY after a right answer, progress, and silence when nothing is mended."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agent_process import AgentProcess
from notify_socket import NotifySocket
from wrong_bundle import wrong_canaries

StartAgent = Callable[..., AgentProcess]
PROCESS = "tidegate.supervisor.worker.process"
PONG_S = 3
IMPATIENT = {f"{PROCESS}.PING_EVERY_S": 1.0, f"{PROCESS}.PONG_DEADLINE_S": float(PONG_S)}
FREEZER = Path("/sys/fs/cgroup/freezer")


def test_patience_then_ready_then_progress_then_stopping(start_agent: StartAgent, systemd: NotifySocket) -> None:
    agent = start_agent()
    first = systemd.next()
    assert int(first["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
    assert first["STATUS"].startswith("the worker starts: ")
    while "READY" not in (heard := systemd.next()):
        assert "EXTEND_TIMEOUT_USEC" in heard, "nothing else before READY"
    assert systemd.next()["STATUS"].startswith("full")
    assert systemd.next()["WATCHDOG"] == "1"
    assert agent.end() == 0
    systemd.wait_for("STOPPING=1")


def test_an_agent_whose_worker_answers_wrongly_is_never_ready(tmp_path: Path, systemd: NotifySocket) -> None:
    wrong_canaries(tmp_path / "wrong")
    agent = AgentProcess(tmp_path, None, {"bundle": str(tmp_path / "wrong")})
    agent.start(wait=False)
    try:
        agent.wait_until(lambda status: status.worker.restarts >= 2, 60)
        assert "no operating point answers right here" in agent.log()
        first = systemd.next()
        assert "EXTEND_TIMEOUT_USEC" in first, "patience was asked for"
        with pytest.raises(TimeoutError):
            systemd.wait_for("READY=1", 6.0)
    finally:
        agent.end()


def test_a_stopped_worker_is_replaced_while_the_watchdog_is_fed(
    start_agent: StartAgent, systemd: NotifySocket
) -> None:
    agent = start_agent(constants=IMPATIENT)
    pid = agent.status().worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    status = agent.wait_until(lambda now: now.worker.state == "serving" and now.worker.pid != pid, 90)
    assert status.worker.restarts == 1
    assert f"it did not answer for {PONG_S if sys.platform == 'linux' else 15} s" in agent.log()
    assert list((agent.state_dir / "crashes").glob("*.json")), "its report is kept"
    systemd.forget()
    systemd.wait_for("WATCHDOG=1")
    assert agent.ask()[0] == 200


def test_a_stopped_supervisor_says_nothing(start_agent: StartAgent, systemd: NotifySocket) -> None:
    agent = start_agent()
    systemd.wait_for("WATCHDOG=1")
    os.kill(agent.pid, signal.SIGSTOP)
    try:
        time.sleep(0.2)
        systemd.forget()
        with pytest.raises(TimeoutError):
            systemd.next(3.0)
    finally:
        os.kill(agent.pid, signal.SIGCONT)
    systemd.wait_for("WATCHDOG=1")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that no signal reaches, SIGKILL included, as one that waits for a dead disk or device."""
    group = FREEZER / f"tidegate-test-{pid}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("needs the freezer of cgroup v1, and root")
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        for _ in range(100):
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.1)  # its process has not been reaped yet
            else:
                break


@pytest.mark.slow
def test_a_worker_that_can_not_even_be_killed_ends_in_a_restart_by_systemd(
    start_agent: StartAgent, systemd: NotifySocket
) -> None:
    agent = start_agent()
    pid = agent.status().worker.pid
    assert pid is not None
    with frozen(pid):
        systemd.forget()
        systemd.wait_for("WATCHDOG=1")
        while "WATCHDOG" in (heard := systemd.next()):
            pass
        assert "neither answers nor ends" in heard["STATUS"]
        systemd.forget()
        assert all("WATCHDOG" not in systemd.next() for _ in range(10)), "the unit's WatchdogSec runs out"
