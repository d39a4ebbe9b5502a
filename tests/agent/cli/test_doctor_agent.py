"""`tidegate doctor` tells what the running agent has trouble with, above all its broker."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.main import application
from tidegate.messages import Served, StreamCount
from tidegate.supervisor.status.socket import FILE_NAME, serve_status
from tidegate.supervisor.status.status import PolicyStatus, Status, TelemetryStatus, WorkerStatus
from tidegate.supervisor.status.troubles import Trouble

REFUSED = "127.0.0.1:1883: refused: nothing listens there; start the broker, or check broker.port"

DOOR = StreamCount("door", "camera /dev/video0", problem="/dev/video0: No such file or directory")
SERVED = Served(1, 10.0, 0, 0, 0, None, None, None, 0, streams=(DOOR,))


def status(*troubles: Trouble) -> Status:
    return Status(
        device="gate-7",
        version="1",
        uptime_s=1.0,
        model="digits",
        engine="onnx",
        point="full",
        certified_risk=0.0,
        switches=0,
        policy_pushes_applied=0,
        policy=PolicyStatus("p", 1, "ab", "local"),
        decision=None,
        ladder=(),
        readings={},
        worker=WorkerStatus("serving", 7, 0),
        telemetry=TelemetryStatus("offline", "127.0.0.1:1883", 0, 0, 0, {}),
        troubles=troubles,
        served=SERVED,
    )


@contextmanager
def agent(directory: Path, *troubles: Trouble) -> Iterator[None]:
    """An agent's status socket, in a loop of its own."""
    loop, up = asyncio.new_event_loop(), threading.Event()

    async def refresh() -> None:
        """Nothing to count."""

    async def serve() -> None:
        server = await serve_status(directory / FILE_NAME, lambda: status(*troubles), refresh)
        up.set()
        async with server:
            await server.serve_forever()

    serving = loop.create_task(serve())

    def run() -> None:
        loop.run_until_complete(asyncio.wait([serving]))

    thread = threading.Thread(target=run)
    thread.start()
    assert up.wait(10)
    yield
    loop.call_soon_threadsafe(serving.cancel)
    thread.join(10)
    loop.close()


def doctor(state_dir: Path, *options: str) -> str:
    """What it prints, of a machine without sensors."""
    sysroot = state_dir / "no-sensors"
    sysroot.mkdir(exist_ok=True)
    done = CliRunner().invoke(
        application(),
        ["doctor", "--sysroot", str(sysroot), "--state-dir", str(state_dir), *options],
        env={"COLUMNS": "200"},
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_the_broker_that_is_not_reached_is_told_with_what_to_do(tmp_path: Path) -> None:
    with agent(tmp_path, Trouble("broker", "2027-06-01T00:00:00+00:00", REFUSED)):
        told = doctor(tmp_path)
    assert "broker: " + REFUSED in " ".join(told.split())
    assert "since 2027-06-01T00:00:00+00:00" in told


def test_an_agent_without_trouble_is_told_to_have_none(tmp_path: Path) -> None:
    with agent(tmp_path):
        assert "reports no trouble" in doctor(tmp_path)


def test_its_streams_have_a_line_each(tmp_path: Path) -> None:
    with agent(tmp_path):
        told = " ".join(doctor(tmp_path).split())
    assert "stream door: camera /dev/video0, 0.0/s answered, no frame since the worker began" in told
    assert "no frames come: /dev/video0: No such file or directory" in told


@pytest.mark.parametrize("runs", [True, False])
def test_as_json(tmp_path: Path, runs: bool) -> None:
    trouble = {"part": "broker", "since": "2027-06-01T00:00:00+00:00", "because": REFUSED}
    if runs:
        with agent(tmp_path, Trouble(**trouble)):
            told = json.loads(doctor(tmp_path, "--json"))["agent"]
        served = json.loads(json.dumps(asdict(SERVED)))
        assert told == {"troubles": [trouble], "unasked": "", "served": served}
    else:
        told = json.loads(doctor(tmp_path, "--json"))["agent"]
        assert told["troubles"] == []
        assert "no agent is running here" in told["unasked"]


def test_an_agent_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    assert "no agent is running here" in " ".join(doctor(tmp_path).split())
