"""A worker on `auto` with nothing known: it serves first, and tries the engines beside that."""

import asyncio
import json
from pathlib import Path

import pytest
from agent_process import BUNDLE

from tidegate.demo.client import UnixConnection
from tidegate.engines.runtime.installed import installed_engines
from tidegate.messages import Tried
from tidegate.supervisor.sockets.listeners import open_listeners
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(installed_engines()) < 2, reason="one engine alone is never tried"),
]

TENSOR = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "UINT8", "data": [8] * 64}


def asked(path: Path) -> int:
    connection = UnixConnection(str(path), 20)
    connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [TENSOR]}))
    status = connection.getresponse().status
    connection.close()
    return status


def test_engines_are_tried_while_requests_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Tried] = []
    take = WorkerProcess._tried

    def noted(worker: WorkerProcess, message: Tried) -> None:
        take(worker, message)
        heard.append(message)

    monkeypatch.setattr(WorkerProcess, "_tried", noted)
    listeners = open_listeners(tmp_path / "tidegate.sock", None)

    async def scenario() -> None:
        spec = WorkerSpec(BUNDLE, "auto", listeners.sockets, cache_dir=tmp_path / "cache")
        worker = WorkerProcess(spec, "full", lambda _: None)
        running = asyncio.create_task(worker.run())
        try:
            await worker.wait_ready()
            statuses = []
            while not heard:
                statuses.append(await asyncio.to_thread(asked, tmp_path / "tidegate.sock"))
                await asyncio.sleep(0.2)
            assert {*statuses} == {200}
            assert len(statuses) > 10, "trials came before answers"
            assert await asyncio.to_thread(asked, tmp_path / "tidegate.sock") == 200
            assert worker.refused == heard[0].refused
        finally:
            await worker.stop()
            await asyncio.wait_for(running, 20)

    asyncio.run(asyncio.wait_for(scenario(), 200))
    listeners.close()
