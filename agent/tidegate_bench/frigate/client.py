"""A detector of Frigate's as its plugin `zmq` is one, written from frigate/detectors/plugins/zmq_ipc.py.

What it does at a timeout is what counts here: a new socket, the question for the model (30 s for a reply), the
model if it isn't there, and no boxes for the picture at hand.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zmq

TIMEOUT_MS = 200
MODEL_TIMEOUT_MS = 30_000


@dataclass(slots=True)
class Counts:
    """What came of the pictures. `late` had no reply in time, and each held Frigate up for one of `pauses_s`."""

    asked: int = 0
    with_boxes: int = 0
    without: int = 0
    late: int = 0
    not_ready: int = 0
    handed_over: int = 0
    pauses_s: list[float] = field(default_factory=list)


class FrigateClient:
    """Asks at `endpoint`, as Frigate with this `model` file would."""

    def __init__(self, endpoint: str, model: Path, model_type: str = "yologeneric", timeout_ms: int = TIMEOUT_MS):
        self.counts = Counts()
        self.ready = False
        self._endpoint, self._model, self._model_type, self._timeout_ms = endpoint, model, model_type, timeout_ms
        self._context = zmq.Context()
        self._socket = self._connected()
        self._initialize()

    def close(self) -> None:
        """As when Frigate ends."""
        self._socket.close(0)
        self._context.term()

    def hand_over(self, model: Path) -> None:
        """As when Frigate is started with another model."""
        self._model, self.ready = model, False
        self._socket.close(0)
        self._socket = self._connected()
        self._initialize()

    def detect(self, picture: npt.NDArray[np.generic]) -> npt.NDArray[np.float32] | None:
        """The (20, 6) rows, or None where Frigate would have taken none."""
        self.counts.asked += 1
        if not self.ready:
            self.counts.not_ready += 1
            return None
        header = {"shape": list(picture.shape), "dtype": picture.dtype.name, "model_type": self._model_type}
        began_s = time.monotonic()
        try:
            self._socket.send_multipart([json.dumps(header).encode(), picture.tobytes()])
            frames = self._socket.recv_multipart()
        except zmq.ZMQError:  # a timeout, or no reply to the question for the model
            self.counts.late += 1
            self._socket.close(0)
            self._socket = self._connected()
            self._initialize()
            self.counts.pauses_s.append(time.monotonic() - began_s)
            return None
        about = json.loads(frames[0])
        rows = np.frombuffer(frames[1], np.dtype(about["dtype"])).reshape(about["shape"])
        if rows.any():
            self.counts.with_boxes += 1
        else:
            self.counts.without += 1
        return rows

    def _connected(self) -> "zmq.Socket[bytes]":
        opened = self._context.socket(zmq.REQ)
        opened.setsockopt(zmq.RCVTIMEO, self._timeout_ms)
        opened.setsockopt(zmq.SNDTIMEO, self._timeout_ms)
        opened.setsockopt(zmq.LINGER, 0)
        opened.connect(self._endpoint)
        return opened

    def _initialize(self) -> None:
        try:
            found = self._ask([{"model_request": True, "model_name": self._model.name}])
            if found.get("model_available"):
                self.ready = bool(found.get("model_loaded"))
                return
            taken = self._ask([{"model_data": True, "model_name": self._model.name}, self._model.read_bytes()])
        except zmq.ZMQError:
            return  # Frigate logs it and goes on with what it believed before
        self.counts.handed_over += 1
        self.ready = bool(taken.get("model_saved")) and bool(taken.get("model_loaded"))

    def _ask(self, message: list[dict[str, object] | bytes]) -> dict[str, object]:
        self._socket.send_multipart(
            [each if isinstance(each, bytes) else json.dumps(each).encode() for each in message]
        )
        self._socket.setsockopt(zmq.RCVTIMEO, MODEL_TIMEOUT_MS)
        try:
            (reply,) = self._socket.recv_multipart()
        finally:
            self._socket.setsockopt(zmq.RCVTIMEO, self._timeout_ms)
        document: dict[str, object] = json.loads(reply)
        return document
