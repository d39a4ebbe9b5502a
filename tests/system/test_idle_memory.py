"""A real worker gives back what requests took once nobody has asked for a whole report."""

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from agent_process import BUNDLE

from tidegate.demo.client import UnixConnection
from tidegate.engines.runtime.installed import installed_engines
from tidegate.models.bundle import open_bundle
from tidegate.supervisor.sockets.listeners import open_listeners
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec

IMAGES, REQUESTS = 64, 30
FALLS_TO = 0.9
CHECKS = 200


def ask(path: Path) -> None:
    bundle = open_bundle(BUNDLE)
    images = np.repeat(bundle.canaries().inputs[:1], IMAGES, axis=0)
    tensor = {
        "name": bundle.input.name,
        "shape": list(images.shape),
        "datatype": "FP32",
        "data": images.ravel().tolist(),
    }
    connection = UnixConnection(str(path), 60)
    connection.request("POST", f"/v2/models/{bundle.model}/infer", json.dumps({"inputs": [tensor]}))
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="memory is given back on Linux alone")
def test_memory_falls_after_the_last_request(tmp_path: Path) -> None:
    asyncio.run(asked_and_left_alone(tmp_path))


async def asked_and_left_alone(tmp_path: Path) -> None:
    listeners = open_listeners(tmp_path / "tidegate.sock", None)
    worker = WorkerProcess(WorkerSpec(BUNDLE, installed_engines()[0], listeners.sockets), "full", lambda _: None)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(100):
        await worker.wait_ready()
        assert worker.pid is not None
        process = psutil.Process(worker.pid)

        def resident() -> int:
            return int(process.memory_info().rss)

        for _ in range(REQUESTS):
            await asyncio.to_thread(ask, tmp_path / "tidegate.sock")
        await worker.report()
        await asyncio.sleep(1)
        asked = resident()
        await worker.report()
        for _ in range(CHECKS):
            if resident() <= FALLS_TO * asked:
                break
            await asyncio.sleep(0.1)
        left = resident()
        await worker.stop()
        await running
    listeners.close()
    assert left <= FALLS_TO * asked
