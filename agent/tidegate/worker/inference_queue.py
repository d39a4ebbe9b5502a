"""The inference queue: the one thread that runs the model, so that a switch falls between two requests."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

from tidegate.engines.engine import Answer, Array, Variant
from tidegate.messages import Served
from tidegate.models.ladder import OperatingPoint

T = TypeVar("T")

MAX_WAITING = 256
"""Requests waiting in the queue before new ones are turned away: an answer this late helps nobody."""


class QueueFull(Exception):  # noqa: N818 - reads as what it is at the call site
    """Too many requests are waiting; the client should come back."""


@dataclass(frozen=True, slots=True)
class QueueAnswer:
    """An answer and the operating point that gave it."""

    answer: Answer
    point: OperatingPoint
    latency_ms: float


class InferenceQueue:
    """Runs batches and swaps one after the other, in the order they came."""

    def __init__(self, variant: Variant, clock: Callable[[], float] = time.perf_counter) -> None:
        self._variant = variant
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._tally = _Tally(started=clock())
        self._tally_lock = Lock()
        self._waiting = 0

    @property
    def point(self) -> OperatingPoint:
        """The operating point that answers now."""
        return self._variant.point

    def infer(self, batch: Array) -> "Future[QueueAnswer]":
        """Queue a batch. Raises QueueFull instead of queueing without end."""
        with self._tally_lock:
            if self._waiting >= MAX_WAITING:
                self._tally.failed += 1
                raise QueueFull(f"{MAX_WAITING} requests are waiting already")
            self._waiting += 1
        future = self._thread.submit(self._infer, batch)
        future.add_done_callback(self._count)
        return future

    def swap(self, variant: Variant) -> "Future[float]":
        """Let `variant` answer from the next request on and release the one before; gives the pause in ms."""
        return self._thread.submit(self._swap, variant)

    def call(self, function: Callable[[], T]) -> "Future[T]":
        """Run something in the queue, between two requests."""
        return self._thread.submit(function)

    def report(self, report_id: int) -> Served:
        """What was served since the last report."""
        with self._tally_lock:
            tally, self._tally = self._tally, _Tally(started=self._clock())
        return tally.served(report_id, self._clock(), self._variant.weights_resident_bytes)

    def close(self) -> None:
        """Answer what is queued, then end the thread."""
        self._thread.shutdown(wait=True)

    def _infer(self, batch: Array) -> QueueAnswer:
        started = self._clock()
        answer = self._variant.run(batch)
        return QueueAnswer(answer, self._variant.point, (self._clock() - started) * 1e3)

    def _swap(self, variant: Variant) -> float:
        started = self._clock()
        before, self._variant = self._variant, variant
        pause_ms = (self._clock() - started) * 1e3
        before.release()
        return pause_ms

    def _count(self, future: "Future[QueueAnswer]") -> None:
        with self._tally_lock:
            self._waiting -= 1
            if future.cancelled() or future.exception() is not None:
                self._tally.failed += 1
            else:
                self._tally.add(future.result())


class _Tally:
    """Counts of one reporting window."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.failed = 0
        self._latencies_ms: list[float] = []
        self._samples = 0
        self._executed = 0
        self._skipped = 0

    def add(self, answered: QueueAnswer) -> None:
        self._latencies_ms.append(answered.latency_ms)
        self._samples += len(answered.answer.outputs)
        self._executed += answered.answer.executed_blocks
        self._skipped += answered.answer.skipped_blocks

    def served(self, report_id: int, now: float, weights_resident_bytes: int) -> Served:
        blocks = self._executed + self._skipped
        return Served(
            id=report_id,
            window_s=now - self.started,
            requests=len(self._latencies_ms),
            failed=self.failed,
            samples=self._samples,
            latency_p50_ms=_percentile(self._latencies_ms, 0.50),
            latency_p95_ms=_percentile(self._latencies_ms, 0.95),
            skip_ratio=self._skipped / blocks if blocks else None,
            weights_resident_bytes=weights_resident_bytes,
        )


def _percentile(values: list[float], share: float) -> float | None:
    """Nearest-rank percentile; None of nothing."""
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
