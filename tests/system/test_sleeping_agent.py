"""Sleep for real: no process, an answer for those who ask, and a worker again when it is time or somebody asks."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_process import BUNDLE, ENGINE, PLAIN_POLICY, AgentProcess

from tidegate.supervisor.sockets.listeners import Listeners, open_listeners
from tidegate.supervisor.worker import process as worker_process
from tidegate.supervisor.worker.process import WorkerEnded, WorkerProcess, WorkerState
from tidegate.supervisor.worker.rest import Rest
from tidegate.supervisor.worker.spec import WorkerSpec

StartAgent = Callable[..., AgentProcess]

READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ON_REQUEST = """\
rules:
  - name: always
    when: {memory_available: {above: 2 MB, until: 1 MB}}
    use: sleep
    wake: {request: true}
"""


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    opened = open_listeners(tmp_path / "tidegate.sock", None)
    yield opened
    opened.close()


async def asked(path: Path | None) -> bytes:
    assert path is not None
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(READY)
    try:
        return await reader.read()
    finally:
        writer.close()


async def until_asleep(worker: WorkerProcess) -> None:
    while worker.state is not WorkerState.ASLEEP:  # noqa: ASYNC110 - the state has no event
        await asyncio.sleep(0.02)


def test_whoever_asks_one_that_sleeps_hears_when_to_come_back_or_wakes_it(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "PUT_OFF_S", 0.0)

    async def night() -> tuple[list[bytes], int]:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        worker = WorkerProcess(WorkerSpec(BUNDLE, ENGINE, listeners.sockets), "full", ended.put_nowait)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(60):
            await worker.wait_ready()
            await worker.sleep(Rest("asleep until 06:00", 120.0))
            await until_asleep(worker)
            assert worker.pid is None
            assert not worker.stuck
            heard = [await asked(listeners.unix_path)]
            worker.wake()
            await worker.wait_ready()
            heard.append(await asked(listeners.unix_path))
            await worker.sleep(Rest("asleep until a request comes", 600.0, worker.wake))
            await until_asleep(worker)
            heard.append(await asked(listeners.unix_path))
        await worker.stop()
        await running
        return heard, ended.qsize()

    heard, ended = asyncio.run(night())
    assert heard[0].startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 120\r\n" in heard[0]
    assert "asleep until 06:00; ask again in 120 s" in json.loads(heard[0].partition(b"\r\n\r\n")[2])["error"]
    assert heard[1].startswith(b"HTTP/1.1 200 ")
    assert heard[2].startswith(b"HTTP/1.1 200 "), "the request that woke it is answered"
    assert ended == 0, "a worker that was put to sleep has not failed"


def test_a_worker_that_somebody_waits_for_is_not_put_to_sleep(listeners: Listeners) -> None:
    async def pushed() -> WorkerState:
        worker = WorkerProcess(WorkerSpec(BUNDLE, ENGINE, listeners.sockets), "full", lambda _: None)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(60):
            await worker.wait_ready()
            await worker.sleep(Rest("asleep", 1.0))
            await worker.ping()
            state = worker.state
        await worker.stop()
        await running
        return state

    assert asyncio.run(pushed()) is WorkerState.SERVING


def test_an_agent_sleeps_by_its_policy_and_a_request_wakes_it(start_agent: StartAgent, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(PLAIN_POLICY + ON_REQUEST)
    agent = start_agent()
    asleep = agent.wait_until(lambda status: status.worker.state == "asleep")
    assert asleep.worker.pid is None
    assert asleep.worker.restarts == 0
    assert asleep.decision is not None
    assert "asleep until a request comes" in asleep.decision.reason
    assert agent.ask()[0] == 200
    awake = agent.wait_until(lambda status: status.decision is not None and status.decision.rule is None)
    assert awake.worker.state == "serving"
