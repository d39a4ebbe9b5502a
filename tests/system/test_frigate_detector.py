"""An agent as Frigate's detector, asked by a client that does what Frigate's plugin does."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from agent_process import AgentProcess, pinned

pytest.importorskip("zmq", reason="needs the extra frigate")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

import zmq

from tidegate_bench.frigate.client import FrigateClient
from tidegate_bench.frigate.subject import CHEAP, keep_bundle, keep_file, picture, row_of


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle `cells` and the model file `cells.onnx`."""
    directory = tmp_path_factory.mktemp("kept")
    keep_bundle(directory / "cells")
    keep_file(directory / "cells.onnx")
    return directory


@pytest.fixture
def client(kept: Path, tmp_path: Path) -> Iterator[Callable[[], FrigateClient]]:
    opened: list[FrigateClient] = []

    def connect() -> FrigateClient:
        opened.append(FrigateClient(f"ipc://{tmp_path / 'frigate.sock'}", kept / "cells.onnx"))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def assert_found(asking: FrigateClient, row: int, column: int, channel: int) -> None:
    rows = asking.detect(picture(row, column, channel))
    assert rows is not None
    assert rows.shape == (20, 6)
    assert (rows[0, 0], *rows[0, 2:]) == pytest.approx(row_of(row, column, channel))
    assert not rows[1:].any()


def speak_no_such_protocol(path: Path) -> None:
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(f"ipc://{path}")
    for message in ([b""], [b"", b""], [b"x"], [b"", b"{}"], [b"", b"{}", os.urandom(100)]):
        dealer.send_multipart(message)
    request = context.socket(zmq.REQ)
    request.connect(f"ipc://{path}")
    request.send_multipart([b"{", b"x" * 1000])
    header, zeros = request.recv_multipart()
    assert json.loads(header)["shape"] == [20, 6]
    assert not any(zeros)
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(path))
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
    context.destroy(linger=0)


def test_frigate_is_answered_by_the_model_that_it_is_given_beside_another_one(
    start_agent: Callable[..., AgentProcess], client: Callable[[], FrigateClient], kept: Path, tmp_path: Path
) -> None:
    frigate = {"unix": str(tmp_path / "frigate.sock"), "answer_within": "5 s", "model": "cells"}
    models = [{"name": "cells", "bundle": str(kept / "cells"), "load": "on_request"}]
    agent = start_agent(models=models, frigate=frigate)
    agent.wait_until(lambda status: [each.state for each in status.models] == ["READY", "READY"])
    asking = client()
    assert asking.ready
    assert_found(asking, 1, 2, 1)
    assert agent.ask()[0] == 200
    agent.kill_worker()
    assert_found(client(), 3, 0, 0)
    status = agent.wait_until(lambda status: status.served is not None and status.served.frigate is not None)
    assert [each.is_ready for each in status.models] == [True, True]


def test_a_bundle_answers_through_switches_kills_and_a_deleted_socket(
    start_agent: Callable[..., AgentProcess], client: Callable[[], FrigateClient], kept: Path, tmp_path: Path
) -> None:
    path = tmp_path / "frigate.sock"
    agent = start_agent(bundle=str(kept / "cells"), frigate={"unix": str(path), "answer_within": "5 s"})
    asking = client()
    assert asking.ready
    assert asking.counts.handed_over == 0, "the bundle answers in the place of Frigate's model"
    assert_found(asking, 1, 2, 1)
    (tmp_path / "policy.yaml").write_text(pinned(CHEAP, 2))
    os.kill(agent.pid, signal.SIGHUP)
    agent.wait_until(lambda status: status.decision is not None and status.decision.point == CHEAP)
    assert_found(asking, 3, 0, 0)
    rows = asking.detect(np.zeros((1, 8, 8, 3), np.uint8))
    assert rows is not None
    assert not rows.any(), "what can't be answered is answered with no boxes"
    assert "set `model.width: 32` and `model.height: 32` in Frigate" in agent.log()
    speak_no_such_protocol(path)
    assert_found(asking, 1, 1, 1)
    assert agent.status().worker.restarts == 0
    agent.kill_worker()
    for _ in range(3):
        asking.detect(picture(0, 0, 0))
    assert asking.ready
    assert_found(asking, 2, 2, 0)
    killed = agent.wait_until(lambda status: status.served is not None and status.served.samples > 0)
    assert killed.worker.restarts == 1, "only the one that was killed"
    assert killed.served is not None
    counted = killed.served.frigate
    assert counted is not None
    assert (counted.source, counted.failed) == (f"ZeroMQ at ipc://{path}", 0)
    assert counted.answered > 0
    assert counted.last_frame_at is not None
    before = killed.worker.pid
    path.unlink()
    agent.wait_until(lambda status: path.exists() and status.worker.pid not in {None, before}, 30)
    assert_found(client(), 0, 3, 1)


def test_a_model_is_handed_over_once_and_answers_after_a_kill(
    start_agent: Callable[..., AgentProcess], client: Callable[[], FrigateClient], kept: Path, tmp_path: Path
) -> None:
    frigate = {"unix": str(tmp_path / "frigate.sock"), "hand_over": True, "answer_within": "5 s"}
    agent = start_agent(frigate=frigate)
    asking = client()
    assert asking.ready
    assert asking.counts.handed_over == 1
    assert_found(asking, 1, 2, 1)
    second = client()
    assert second.counts.handed_over == 0, "it is there by now"
    assert_found(second, 0, 0, 0)
    agent.kill_worker()
    for _ in range(3):
        asking.detect(picture(0, 0, 0))
    assert asking.counts.handed_over == 1
    assert_found(asking, 2, 1, 0)
    broken = kept / "broken.onnx"
    broken.write_bytes(b"no model")
    asking.hand_over(broken)
    assert not asking.ready
    assert_found(second, 3, 3, 1)
