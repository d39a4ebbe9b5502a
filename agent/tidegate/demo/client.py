"""A client that asks like a camera: real images at a steady rate, every reply checked against its label.

Run as `python -m tidegate.demo.client`; it stops on SIGTERM, SIGINT or after --seconds, and prints one JSON line.
"""

import argparse
import http.client
import itertools
import json
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.models.bundle import open_bundle

ATTEMPTS = 60
"""Tries per request; between a worker's death and the next one's first answer a client waits and asks again."""
RETRY_AFTER_S = 0.25
TIMEOUT_S = 30.0


@dataclass(slots=True)
class LoadSummary:
    """What the client saw. `retried` connections broke under a request that was then answered."""

    served: int = 0
    failed: int = 0
    retried: int = 0
    refused: int = 0
    correct: int = 0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of served requests whose top answer is the label; None when nothing was served."""
        return self.correct / self.served if self.served else None


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class LoadClient:
    """Asks over each listener in turn, at `rate_hz`, and keeps the count."""

    def __init__(self, model: str, input_name: str, unix: Path | None, tcp_port: int | None) -> None:
        self.summary = LoadSummary()
        self.stopping = False
        self._input_name = input_name
        self._infer = f"/v2/models/{model}/infer"
        self._connections: list[http.client.HTTPConnection] = []
        if unix is not None:
            self._connections.append(UnixConnection(str(unix), TIMEOUT_S))
        if tcp_port is not None:
            self._connections.append(http.client.HTTPConnection("127.0.0.1", tcp_port, timeout=TIMEOUT_S))
        self._latencies_ms: list[float] = []

    def run(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], rate_hz: float, until: float
    ) -> None:
        """Ask for each image in turn, over and over, until `until` (monotonic seconds) or `stopping`."""
        due = time.monotonic()
        for index in itertools.cycle(range(len(images))):
            due = max(due + 1 / rate_hz, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            if self.stopping or time.monotonic() >= until:
                break
            self._ask(images[index], int(labels[index]))
        if self._latencies_ms:
            p50, p99 = np.percentile(self._latencies_ms, [50, 99])
            self.summary.latency_p50_ms, self.summary.latency_p99_ms = float(p50), float(p99)

    def _ask(self, image: npt.NDArray[np.uint8], label: int) -> None:
        tensor = {
            "name": self._input_name,
            "shape": [1, *image.shape],
            "datatype": "UINT8",
            "data": image.ravel().tolist(),
        }
        body = json.dumps({"inputs": [tensor]})
        connection = self._connections[(self.summary.served + self.summary.failed) % len(self._connections)]
        started = time.perf_counter()
        for attempt in range(ATTEMPTS):
            try:
                connection.request("POST", self._infer, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                reply = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                self.summary.refused += isinstance(error, ConnectionRefusedError)
                time.sleep(RETRY_AFTER_S)
                continue
            if response.status == 200:
                self._latencies_ms.append((time.perf_counter() - started) * 1e3)
                self.summary.served += 1
                self.summary.retried += attempt > 0
                self.summary.correct += int(np.argmax(reply["outputs"][0]["data"])) == label
                return
            break
        self.summary.failed += 1


def main() -> None:
    """Entry point of `python -m tidegate.demo.client`."""
    parser = argparse.ArgumentParser(prog="tidegate-load", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="whose samples are sent")
    parser.add_argument("--unix", type=Path, help="the endpoint's Unix socket")
    parser.add_argument("--tcp-port", type=int, help="the endpoint's port on 127.0.0.1")
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=3600.0)
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    client = LoadClient(bundle.model, bundle.input.name, arguments.unix, arguments.tcp_port)

    def stop(_signal: int, _frame: object) -> None:
        client.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    samples = bundle.samples()
    if samples.labels is None or samples.raw.dtype != np.uint8:
        parser.error(f"{arguments.bundle}: this client sends 8-bit images and checks answers; the bundle has none")
    client.run(
        samples.raw.astype(np.uint8, copy=False),
        samples.labels,
        arguments.rate,
        time.monotonic() + arguments.seconds,
    )
    summary = {**asdict(client.summary), "accuracy": client.summary.accuracy}
    sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main()
