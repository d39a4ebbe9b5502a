"""Why and where a worker is replaced: it hangs, outgrows its memory, or dies young again and again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from agent_process import BELOW_FULL, BUNDLE, ENGINE

from tidegate.supervisor.sockets.listeners import Listeners, open_listeners
from tidegate.supervisor.worker import process as worker_process
from tidegate.supervisor.worker.process import WorkerEnded, WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    opened = open_listeners(tmp_path / "tidegate.sock", None)
    yield opened
    opened.close()


@asynccontextmanager
async def kept(
    listeners: Listeners, ended: "asyncio.Queue[WorkerEnded]", memory_limit_bytes: int | None = None
) -> AsyncIterator[WorkerProcess]:
    """A running worker, ended afterwards."""
    spec = WorkerSpec(BUNDLE, ENGINE, listeners.sockets, memory_limit_bytes=memory_limit_bytes)
    worker = WorkerProcess(spec, "full", ended.put_nowait)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        await worker.wait_ready()
        yield worker
        await worker.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def pid_of(worker: WorkerProcess) -> int:
    assert worker.pid is not None
    return worker.pid


def test_a_worker_that_hangs_is_killed_and_replaced(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "PING_EVERY_S", 0.2)
    monkeypatch.setattr(worker_process, "PONG_DEADLINE_S", 1.0)

    async def hang() -> WorkerEnded:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        async with kept(listeners, ended) as worker:
            os.kill(pid_of(worker), signal.SIGSTOP)
            end = await ended.get()
            await worker.wait_ready()
            await worker.ping(20)
            return end

    end = asyncio.run(hang())
    assert "did not answer" in end.reason
    assert (end.point, end.next_point) == ("full", "full")


def test_a_worker_over_its_memory_limit_is_killed(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "PING_EVERY_S", 0.2)

    async def outgrow() -> WorkerEnded:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        async with kept(listeners, ended, memory_limit_bytes=1 << 20):
            return await ended.get()

    assert "its limit is 1 MiB" in asyncio.run(outgrow()).reason


def test_a_point_at_which_workers_keep_dying_is_given_up(listeners: Listeners) -> None:
    async def die_twice() -> list[WorkerEnded]:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        async with kept(listeners, ended) as worker:
            assert (await worker.switch(BELOW_FULL)).ok
            ends = []
            for _ in range(2):
                os.kill(pid_of(worker), signal.SIGKILL)
                ends.append(await ended.get())
                await worker.wait_ready()
            return ends

    first, second = asyncio.run(die_twice())
    assert (first.point, first.next_point, first.reason) == (
        BELOW_FULL,
        BELOW_FULL,
        "killed by signal 9 (SIGKILL) from outside",
    )
    assert (second.point, second.next_point, second.restarts) == (BELOW_FULL, "full", 2)


def test_a_worker_ends_when_its_supervisor_is_gone(listeners: Listeners) -> None:
    async def orphan() -> None:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        async with kept(listeners, ended) as worker:
            assert worker._current is not None
            worker._current.channel.close()
            assert (await ended.get()).reason == "it ended with code 0; the log says why"

    asyncio.run(orphan())
