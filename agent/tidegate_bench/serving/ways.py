"""The ways in which a client can hand a picture over, as the bytes of one request."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse

import numpy as np
import numpy.typing as npt

from tidegate_bench.broken import BrokenError
from tidegate_bench.serving.server import INPUT, MODEL, OUTPUT

REGION = "pictures"
OUTPUT_OFFSET = 4 << 20
REGION_BYTES = 8 << 20
DTYPES: Mapping[str, npt.DTypeLike] = {"UINT8": np.uint8, "FP32": np.float32}


@dataclass(frozen=True, slots=True)
class Way:
    """A form of request over a Unix socket, or over TCP."""

    form: str
    datatype: str
    tcp: bool = False

    @property
    def name(self) -> str:
        """For the tables."""
        return f"{self.form} {self.datatype}{', TCP' if self.tcp else ''}"


RAW, JSON, BINARY, SHARED = "raw socket", "JSON", "binary", "shared memory"
STREAM = Way("stream", "UINT8")
"""Frames that were decoded before, read and answered inside the worker; into a file that forgets."""
FLOOR = Way(RAW, "FP32")
"""No protocol and no event loop: a thread that reads the picture, answers and writes, in turn."""
WAYS = (
    FLOOR,
    Way(JSON, "UINT8"),
    Way(JSON, "FP32"),
    Way(BINARY, "UINT8"),
    Way(BINARY, "FP32"),
    Way(BINARY, "UINT8", tcp=True),
    Way(BINARY, "FP32", tcp=True),
    Way(SHARED, "UINT8"),
    Way(SHARED, "FP32"),
)


def picture(shape: tuple[int, ...], datatype: str) -> npt.NDArray[np.generic]:
    """One sample with values as a camera's, the same every time."""
    raw = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    return raw if datatype == "UINT8" else (raw / np.float32(255)).astype(np.float32)


def request_of(way: Way, values: npt.NDArray[np.generic], classes: int) -> bytes:
    """The whole request: head and body, or the values alone."""
    if way.form == RAW:
        return values.tobytes()
    tensor: dict[str, object] = {"name": INPUT, "shape": list(values.shape), "datatype": way.datatype}
    output: dict[str, object] = {"name": OUTPUT}
    binary = b""
    if way.form == JSON:
        tensor["data"] = values.ravel().tolist()
    elif way.form == BINARY:
        binary = values.tobytes()
        tensor["parameters"] = {"binary_data_size": len(binary)}
        output["parameters"] = {"binary_data": True}
    else:
        tensor["parameters"] = {"shared_memory_region": REGION, "shared_memory_byte_size": values.nbytes}
        output["parameters"] = {
            "shared_memory_region": REGION,
            "shared_memory_byte_size": 4 * classes,
            "shared_memory_offset": OUTPUT_OFFSET,
        }
    text = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    return _post(f"/v2/models/{MODEL}/infer", text + binary, len(text) if binary else None)


def registration(key: str) -> bytes:
    """The request that registers the region."""
    body = json.dumps({"key": f"/{key}", "offset": 0, "byte_size": REGION_BYTES}).encode()
    return _post(f"/v2/systemsharedmemory/region/{REGION}/register", body, None)


def ask(connected: socket.socket, request: bytes) -> bytes:
    """The body of the answer. Raises BrokenError for anything but 200."""
    connected.sendall(request)
    with HTTPResponse(connected) as response:
        response.begin()
        body = response.read()
        if response.status != 200:
            raise BrokenError(f"the server answers {response.status}: {body[:200].decode(errors='replace')}")
        return body


def ask_raw(connected: socket.socket, request: bytes, answer_bytes: int) -> None:
    """Ask without a protocol. Raises BrokenError when the answer breaks off."""
    connected.sendall(request)
    while answer_bytes:
        if not (piece := connected.recv(answer_bytes)):
            raise BrokenError("the server ended in the middle of an answer")
        answer_bytes -= len(piece)


def _post(path: str, body: bytes, json_bytes: int | None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    if json_bytes is not None:
        lines += [f"Inference-Header-Content-Length: {json_bytes}", "Content-Type: application/octet-stream"]
    return "\r\n".join((*lines, "", "")).encode() + body
