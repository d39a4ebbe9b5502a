"""Frames from a real broker, and answers to it."""

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="needs Pillow")

from PIL import Image

from tidegate.fleet.broker import LocalBroker
from tidegate.telemetry.broker import Broker
from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.mqtt import MqttSink, MqttSource
from tidegate.worker.streams.source import BadFrame, SourceGone

pytestmark = pytest.mark.broker


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[LocalBroker, Broker]]:
    with LocalBroker(tmp_path / "broker") as running:
        yield running, running.address


def write(sink: MqttSink, line: bytes) -> None:
    """As soon as it is connected."""
    deadline = time.monotonic() + 20
    while True:
        try:
            sink.write(line)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_messages_are_frames_until_the_broker_goes(address: tuple[LocalBroker, Broker]) -> None:
    running, broker = address
    written = io.BytesIO()
    Image.new("L", (4, 4), 9).save(written, "PNG")
    stop = threading.Event()
    found: list[Frame | BadFrame | None] = []
    gone: list[str] = []

    def read() -> None:
        try:
            found.extend(MqttSource(broker, "cam/#", (1, 2, 2)).frames(stop, lambda: True))
        except SourceGone as error:
            gone.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    sink = MqttSink(broker, "cam/door")
    payloads = (b'{"id": "a", "data": [1, 2, 3, 4]}', written.getvalue(), b"\xff\xd8 no picture", b'{"data": [1]}')
    deadline = time.monotonic() + 20
    while not found:  # until it has subscribed
        assert time.monotonic() < deadline
        write(sink, payloads[0])
        time.sleep(0.1)
    for payload in payloads[1:]:
        sink._client.publish("cam/door", payload)  # type: ignore[union-attr] - pictures are no lines
    while len([each for each in found if isinstance(each, BadFrame)]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    frames = [each for each in found if isinstance(each, Frame)]
    assert (frames[0].origin, frames[0].values.ravel().tolist()) == ("a", [1, 2, 3, 4])
    assert frames[-1].values.ravel().tolist() == [9, 9, 9, 9]
    assert frames[-1].origin.startswith("cam/door:")
    sink.close()
    running.__exit__(None, None, None)
    thread.join(20)
    assert gone == [f"broker {broker}: the connection ended"]
    with pytest.raises(SourceGone, match="refused"):
        next(MqttSource(broker, "cam/#", (1, 2, 2)).frames(threading.Event(), lambda: True))
    with pytest.raises(OSError, match="not currently connected"):
        MqttSink(broker, "cam/door").write(b"x\n")
