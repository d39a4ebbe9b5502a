"""A worker on the onnx engine: switches through the ladder without a byte of torch in its process."""

import asyncio
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from agent_process import BUNDLE, rungs

from tidegate.supervisor.sockets.listeners import Listeners, open_listeners
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec

pytestmark = [
    pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/maps"),
]


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    opened = open_listeners(tmp_path / "tidegate.sock", None)
    yield opened
    opened.close()


@pytest.mark.parametrize(("engine", "loads_torch"), [("onnx", False), ("eager", True)])
def test_torch_is_mapped_only_by_engines_that_need_it(
    listeners: Listeners, engine: str, loads_torch: bool
) -> None:
    async def scenario() -> str:
        worker = WorkerProcess(WorkerSpec(BUNDLE, engine, listeners.sockets), "full", lambda _: None)
        running = asyncio.create_task(worker.run())
        try:
            await worker.wait_ready()
            for name in rungs(engine)[::-1]:
                switched = await worker.switch(name)
                assert switched.ok, switched
            return await asyncio.to_thread(Path(f"/proc/{worker.pid}/maps").read_text)
        finally:
            await worker.stop()
            await asyncio.wait_for(running, 20)

    maps = asyncio.run(asyncio.wait_for(scenario(), 90))
    assert ("libtorch" in maps) == loads_torch
    assert ("onnxruntime" in maps) == (engine == "onnx")
