"""A client that asks one request after the other, and tells those that met a switch from the others."""

import http.client
import json
import threading
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import numpy as np

from tidegate.demo.client import TIMEOUT_S, UnixConnection
from tidegate.models.bundle import Bundle

T = TypeVar("T")

_BREATH_S = 0.005
"""Between two requests: a camera does not ask at once, and the worker's other threads get their turn."""


class SteadyClient:
    """Asks with the bundle's first sample in a thread of its own while it is entered."""

    def __init__(self, socket: Path, bundle: Bundle) -> None:
        self.asked = 0
        self.failed = 0
        self._socket = socket
        self._path = f"/v2/models/{bundle.model}/infer"
        image = bundle.samples().raw[0]
        tensor = {
            "name": bundle.input.name,
            "shape": [1, *image.shape],
            "datatype": "UINT8",
            "data": image.ravel().tolist(),
        }
        self._body = json.dumps({"inputs": [tensor]})
        self._answered: list[tuple[float, float, str]] = []
        self._windows: list[tuple[float, float]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "SteadyClient":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(2 * TIMEOUT_S)

    async def through(self, switching: Awaitable[T]) -> T:
        """Wait for a switch; requests that overlap it count as its own."""
        start = time.perf_counter()
        done = await switching
        self._windows.append((start, time.perf_counter()))
        return done

    def p99_ratio(self) -> float | None:
        """p99 of requests that met a switch from a point over p99 of that point's others; the worst point's.

        None where a point has none of either.
        """
        ratios = [self._ratio(point) for point in {point for _, _, point in self._answered}]
        known = [ratio for ratio in ratios if ratio is not None]
        return max(known) if known and len(known) == len(ratios) else None

    def _ratio(self, point: str) -> float | None:
        met: list[float] = []
        others: list[float] = []
        for start, end, answered_by in self._answered:
            if answered_by != point:
                continue
            overlaps = any(start < over and end > begun for begun, over in self._windows)
            (met if overlaps else others).append(end - start)
        if not met or not others:
            return None
        return float(np.percentile(met, 99) / np.percentile(others, 99))

    def _run(self) -> None:
        connection = UnixConnection(str(self._socket), TIMEOUT_S)
        while not self._stopping.wait(_BREATH_S):
            self.asked += 1
            start = time.perf_counter()
            try:
                connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                reply = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                self.failed += 1
                continue
            if response.status != http.client.OK:
                self.failed += 1
                continue
            self._answered.append((start, time.perf_counter(), str(reply["parameters"]["operating_point"])))
        connection.close()
