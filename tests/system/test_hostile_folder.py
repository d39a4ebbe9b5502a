"""An agent in a folder full of files named like our modules and libraries: it serves, and runs none of them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import BUNDLE, COMMAND_LINE, ENGINE, AgentProcess

from tidegate.engines.runtime.held_process import measure_process
from tidegate.engines.runtime.trials import contest
from tidegate.models.bundle import open_bundle

StartAgent = Callable[..., AgentProcess]

TRAP = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\nraise SystemExit(__file__)\n"
NAMES = """
    tidegate/__init__ tidegate/worker/__init__ tidegate/engines/__init__ tidegate_drivers/__init__
    tidegate_drivers/catalog yaml numpy torch onnxruntime psutil pydantic h11 safetensors
    paho/__init__ asyncio logging sitecustomize
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, and an empty part of PYTHONPATH that names it once more."""
    folder = tmp_path / "hostile"
    for name in NAMES.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(TRAP)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    return folder


def test_nothing_in_the_working_directory_is_run_or_stops_the_service(
    start_agent: StartAgent, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AgentProcess, "program", COMMAND_LINE)
    agent = start_agent()
    assert agent.ask()[0] == 200
    agent.kill_worker()
    agent.wait_until(lambda status: status.worker.state == "serving" and status.worker.restarts == 1, 60)
    assert agent.ask()[0] == 200
    assert list(hostile.rglob("*.ran")) == []


@pytest.mark.slow
def test_trials_and_measurements_run_our_own_code_there(hostile: Path) -> None:
    trials = contest(open_bundle(BUNDLE), [ENGINE], None)
    assert trials[0].latency_ms is not None, trials[0].reason
    assert measure_process(BUNDLE, "full") is not None
    assert list(hostile.rglob("*.ran")) == []
