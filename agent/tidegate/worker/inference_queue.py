"""The inference queue: one request runs at a time, so that a switch falls between two of them."""

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

HERE_MS = 50.0
"""Answers that take less on average are given in the thread that asks, when nobody waits: handing a request to
another thread and back costs .1 to .3 ms, and whoever else comes meanwhile has to wait for this answer anyway."""
HERE_BESIDE_OTHERS_MS = 5.0
"""The same while further models are served: theirs would wait too, which have queues of their own."""
AVERAGED = 4
"""Answers, about: a single one may be late as others had the processor."""
FAILURES = 3
"""In a row, after which a point is given up: one may be a moment without memory."""
MAX_WAITING = 256
"""Requests waiting in the queue before new ones are turned away: an answer this late helps nobody."""


class QueueFull(Exception):  # noqa: N818 - reads as what it is at the call site
    """Too many requests are waiting; the client should come back."""


class OtherPoint(Exception):  # noqa: N818 - reads as what it is at the call site
    """Another operating point answers by now than the request allows."""


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
        self._queued = 0
        self._running = Lock()
        self._recent_ms: float | None = None
        self._failures = 0
        self.here_ms = HERE_MS
        """Answers that take longer on average are given in the queue's own thread."""
        self.on_failing: Callable[[OperatingPoint, Exception], None] = lambda _point, _error: None
        """Called, in whichever thread answers, when the serving point has failed several times in a row."""

    @property
    def point(self) -> OperatingPoint:
        """The operating point that answers now."""
        return self._variant.point

    def infer(
        self,
        batch: Array,
        *,
        variant: Variant | None = None,
        only: Callable[[OperatingPoint], bool] = lambda _: True,
    ) -> "Future[QueueAnswer]":
        """Queue a batch for the serving variant or another one. Raises QueueFull instead of queueing without end.

        The answer is OtherPoint where the point that would give it is not one of `only` any more.
        """
        with self._tally_lock:
            if self._waiting >= MAX_WAITING:
                self._tally.failed += 1
                raise QueueFull(f"{MAX_WAITING} requests are waiting already")
            self._waiting += 1
        future = self._submit(lambda: self._infer(batch, variant, only))
        future.add_done_callback(self._count)
        return future

    @property
    def answers_here(self) -> bool:
        """Whether `infer_here` is the way to go: answers are quick, and nobody waits."""
        return self._queued == 0 and self._recent_ms is not None and self._recent_ms <= self.here_ms

    def infer_here(self, batch: Array) -> QueueAnswer:
        """The serving variant's answer, in this thread."""
        try:
            with self._running:
                answered = self._infer(batch, None, lambda _: True)
        except Exception:
            with self._tally_lock:
                self._tally.failed += 1
            raise
        with self._tally_lock:
            self._tally.add(answered)
        return answered

    def swap(self, variant: Variant) -> "Future[float]":
        """Let `variant` answer from the next request on and release the one before; gives the pause in ms."""
        return self._submit(lambda: self._swap(variant))

    def call(self, function: Callable[[], T]) -> "Future[T]":
        """Run something in the queue, between two requests."""
        return self._submit(function)

    def report(self, report_id: int) -> Served:
        """What was served since the last report."""
        with self._tally_lock:
            tally, self._tally = self._tally, _Tally(started=self._clock())
        return tally.served(report_id, self._clock(), self._variant.weights_resident_bytes)

    def close(self) -> None:
        """Answer what is queued, then end the thread."""
        self._thread.shutdown(wait=True)

    def release(self) -> None:
        """Let the variant go, once the queue is closed."""
        self._variant.release()

    def _submit(self, function: Callable[[], T]) -> "Future[T]":
        def run() -> T:
            try:
                with self._running:
                    return function()
            finally:
                with self._tally_lock:
                    self._queued -= 1

        with self._tally_lock:
            self._queued += 1
        return self._thread.submit(run)

    def _infer(self, batch: Array, other: Variant | None, only: Callable[[OperatingPoint], bool]) -> QueueAnswer:
        variant = other or self._variant
        if not only(variant.point):
            raise OtherPoint(variant.point.name)
        started = self._clock()
        try:
            answer = variant.run(batch)
        except Exception as error:
            if other is None:
                self._failed(variant.point, error)
            raise
        latency_ms = (self._clock() - started) * 1e3
        if other is None:
            self._failures = 0
            before = latency_ms if self._recent_ms is None else self._recent_ms
            self._recent_ms = before + (latency_ms - before) / AVERAGED
        return QueueAnswer(answer, variant.point, latency_ms)

    def _failed(self, point: OperatingPoint, error: Exception) -> None:
        self._failures += 1
        if self._failures == FAILURES:
            self._failures = 0
            self.on_failing(point, error)

    def _swap(self, variant: Variant) -> float:
        started = self._clock()
        self._failures = 0
        before, self._variant = self._variant, variant
        self._recent_ms = None
        pause_ms = (self._clock() - started) * 1e3
        before.release()
        return pause_ms

    def _count(self, future: "Future[QueueAnswer]") -> None:
        with self._tally_lock:
            self._waiting -= 1
            error = None if future.cancelled() else future.exception()
            if isinstance(error, OtherPoint):
                return  # it is asked again
            if future.cancelled() or error is not None:
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
