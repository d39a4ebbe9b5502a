"""ONNX Runtime sends nothing: no process of ours lets it keep a device id or an event under the user's home."""

import ast
import asyncio
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from agent_process import BUNDLE, ENGINE, rungs

from tidegate import child
from tidegate.engines.runtime.held_process import measure_process
from tidegate.engines.runtime.trials import contest
from tidegate.models.bundle import open_bundle
from tidegate.supervisor.sockets.listeners import open_listeners
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec

ROOT = Path(__file__).parents[2]
RECORDED_WITHIN_S = 2.0
"""Its first event is on disk within half a second of the first session."""

pytestmark = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; ONNX Runtime keeps quiet by itself only where CI is set."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    for name in ("CI", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "GITHUB_ACTIONS", "TF_BUILD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    return directory


# "0" is overruled by what would also be there where nothing is said.
@pytest.mark.parametrize("said", ["0", pytest.param(None, marks=pytest.mark.slow)])
def test_a_worker_that_serves_and_switches_leaves_nothing_at_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    if said is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", said)

    async def serve() -> None:
        listeners = open_listeners(tmp_path / "tidegate.sock", None)
        worker = WorkerProcess(WorkerSpec(BUNDLE, ENGINE, listeners.sockets), "full", lambda _: None)
        running = asyncio.create_task(worker.run())
        try:
            await asyncio.wait_for(worker.wait_ready(), 90)
            assert (await worker.switch(rungs(ENGINE)[-1])).ok
            await asyncio.sleep(RECORDED_WITHIN_S)
        finally:
            await worker.stop()
            await running
            listeners.close()

    asyncio.run(serve())
    assert [file for file in home.rglob("*") if file.is_file()] == []


@pytest.mark.slow
def test_trials_measurements_and_commands_leave_nothing_at_home(home: Path) -> None:
    assert contest(open_bundle(BUNDLE), [ENGINE], None)[0].latency_ms is not None
    assert measure_process(BUNDLE, rungs(ENGINE)[-1]) is not None
    verify = child.command("tidegate.cli.main", "bundle", "verify", str(BUNDLE))
    assert subprocess.run(verify, check=False, timeout=100, env=child.environment()).returncode == 0
    time.sleep(0.5)
    assert [file for file in home.rglob("*") if file.is_file()] == []


def test_one_place_imports_onnx_runtime() -> None:
    importers = {
        str(source.relative_to(ROOT))
        for part in ("agent", "drivers", "tests")
        for source in (ROOT / part).rglob("*.py")
        if "onnxruntime" in (text := source.read_text())
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Import) and any(alias.name.startswith("onnxruntime") for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onnxruntime"))
    }
    assert importers == {"agent/tidegate/engines/onnxruntime/runtime.py"}
