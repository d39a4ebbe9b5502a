"""Questions to a worker end with it: those that wait, and those that come when it is gone."""

import asyncio
import socket

import pytest

from tidegate.supervisor.worker.channel import WorkerChannel, WorkerDown

LONG_S = 600.0


def test_whoever_asks_a_worker_that_ended_or_ends_is_told_at_once() -> None:
    async def asked() -> None:
        ours, theirs = socket.socketpair()
        channel = await WorkerChannel.open(ours)
        waiting = asyncio.create_task(channel.switch("full", LONG_S, "plates"))
        await asyncio.sleep(0)
        channel.close()
        with pytest.raises(WorkerDown, match="the worker ended"):
            await waiting
        with pytest.raises(WorkerDown, match="the worker ended"):
            await channel.switch("int8", LONG_S, "plates")
        theirs.close()

    asyncio.run(asyncio.wait_for(asked(), 20.0))
