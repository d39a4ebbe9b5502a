"""Why and where a worker is replaced: it hangs, outgrows its memory, or dies young again and again."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from agent_process import BELOW_FULL, BUNDLE, ENGINE

from tidegate.supervisor.sockets.listeners import Listeners, open_listeners
from tidegate.supervisor.worker import process as worker_process
from tidegate.supervisor.worker.crash_reports import CrashReports
from tidegate.supervisor.worker.process import WorkerEnded, WorkerProcess, end_in_words
from tidegate.supervisor.worker.spec import WorkerSpec


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    opened = open_listeners(tmp_path / "tidegate.sock", None)
    yield opened
    opened.close()


@asynccontextmanager
async def kept(
    listeners: Listeners,
    ended: "asyncio.Queue[WorkerEnded]",
    memory_limit_bytes: int | None = None,
    crash_reports: CrashReports | None = None,
) -> AsyncIterator[WorkerProcess]:
    """A running worker, ended afterwards."""
    spec = WorkerSpec(BUNDLE, ENGINE, listeners.sockets, memory_limit_bytes=memory_limit_bytes)
    spec = replace(spec, crash_reports=crash_reports)
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


def test_a_segfault_leaves_a_report_with_the_place(listeners: Listeners, tmp_path: Path) -> None:
    async def crash() -> WorkerEnded:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        async with kept(listeners, ended, crash_reports=CrashReports(tmp_path / "crashes")) as worker:
            os.kill(pid_of(worker), signal.SIGSEGV)
            end = await ended.get()
            await worker.wait_ready()
            return end

    end = asyncio.run(crash())
    assert end.reason.startswith("killed by signal 11 (SIGSEGV): the engine's code crashed")
    report = json.loads((tmp_path / "crashes" / end.crash_report).read_text())
    assert report["reason"] == end.reason
    assert "Fatal Python error: Segmentation fault" in report["stack"]
    assert "run_forever" in report["stack"]


def test_a_worker_that_leaks_answers_what_is_in_flight_before_it_goes(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "PING_EVERY_S", 0.2)
    monkeypatch.setattr(worker_process, "OVER_LIMIT", 1e9)

    async def leak() -> WorkerEnded:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        async with kept(listeners, ended, memory_limit_bytes=1 << 20):
            return await ended.get()

    end = asyncio.run(leak())
    assert "(worker.memory_limit); another one starts small" in end.reason


def test_workers_that_never_get_ready_end_in_a_refusal_that_says_when_to_come_back(
    listeners: Listeners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.supervisor.worker.restart_rule.BACKOFF_S", (0.0,) * 6 + (30.0,))

    async def fail() -> tuple[list[WorkerEnded], bytes]:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        spec = WorkerSpec(tmp_path / "no bundle", ENGINE, listeners.sockets, certified_points=("full", BELOW_FULL))
        worker = WorkerProcess(spec, "full", ended.put_nowait)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(200):
            ends = [await ended.get() for _ in range(6)]
            reader, writer = await asyncio.open_unix_connection(tmp_path / "tidegate.sock")
            writer.write(b"GET /v2/health/ready HTTP/1.1\r\n\r\n")
            answer = await reader.read()
            writer.close()
        assert not worker.stuck
        await worker.stop()
        await running
        return ends, answer

    ends, answer = asyncio.run(fail())
    assert [end.next_point for end in ends] == ["full"] * 3 + [BELOW_FULL] * 3
    assert [end.refusing for end in ends] == [False] * 5 + [True]
    assert "is held there for 60 s, since workers keep ending" in end_in_words(ends[3])
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 30\r\n" in answer
    assert b"no bundle" in answer


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group in which 16 MiB is all there is."""
    group = Path("/sys/fs/cgroup/memory") / f"tidegate-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(16 << 20))
    except OSError:
        pytest.skip("needs the memory controller of cgroup v1, and root")
    yield group
    group.rmdir()


def test_a_worker_that_the_kernel_ends_for_want_of_memory_is_told_as_such(
    listeners: Listeners, small_group: Path
) -> None:
    async def run_out() -> WorkerEnded:
        ended: asyncio.Queue[WorkerEnded] = asyncio.Queue()
        worker = WorkerProcess(WorkerSpec(BUNDLE, ENGINE, listeners.sockets), "full", ended.put_nowait)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(120):
            while worker.pid is None:  # noqa: ASYNC110 - a process that starts sets no event
                await asyncio.sleep(0.01)
            # It is still importing; what it takes from now on counts.
            (small_group / "cgroup.procs").write_text(str(worker.pid))
            end = await ended.get()
            await worker.wait_ready()
            await worker.stop()
            await running
        return end

    end = asyncio.run(run_out())
    assert "the kernel ran out of memory; set worker.memory_limit" in end.reason
