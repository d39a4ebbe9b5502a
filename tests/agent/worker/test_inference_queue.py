"""The inference queue: one thing after the other, honest counts, a bounded queue."""

import threading
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest

from tidegate.engines.engine import Answer, Array
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import OperatingPoint
from tidegate.paths import profiles_directory
from tidegate.worker.inference_queue import HERE_MS, MAX_WAITING, InferenceQueue, QueueFull

FULL = open_bundle(profiles_directory() / "bundles" / "digits").ladder.full
BATCH = np.zeros((2, 1, 8, 8), np.float32)


class Echo:
    """A variant that answers with its own number, and can be held up or broken."""

    weights_resident_bytes = 7

    def __init__(self, name: str = "full", number: float = 0.0) -> None:
        self.point: OperatingPoint = replace(FULL, name=name)
        self.number = number
        self.released = False
        self.gate = threading.Event()
        self.gate.set()

    def run(self, batch: Array) -> Answer:
        assert not self.released, "a released variant must not be asked"
        self.gate.wait(10)
        if np.isnan(batch).any():
            raise ValueError("broken input")
        return Answer(np.full((len(batch), 1), self.number, np.float32), 3, 1)

    def release(self) -> None:
        self.released = True


def test_answers_before_a_swap_are_the_old_variants_and_after_it_the_new_ones() -> None:
    old, new = Echo("old", 1), Echo("new", 2)
    queue = InferenceQueue(old)
    old.gate.clear()
    before = [queue.infer(BATCH) for _ in range(5)]
    swap = queue.swap(new)
    after = [queue.infer(BATCH) for _ in range(5)]
    old.gate.set()
    wait([swap, *before, *after], timeout=10)
    assert {future.result().point.name for future in before} == {"old"}
    assert {future.result().point.name for future in after} == {"new"}
    assert (old.released, new.released, queue.point.name) == (True, False, "new")
    queue.close()


def test_report_counts_since_the_last_one() -> None:
    queue = InferenceQueue(Echo())
    for _ in range(4):
        queue.infer(BATCH).result(10)
    broken = queue.infer(np.full_like(BATCH, np.nan))
    assert isinstance(broken.exception(10), ValueError)
    queue.call(lambda: None).result(10)
    served = queue.report(1)
    assert (served.id, served.requests, served.failed, served.samples, served.skip_ratio) == (1, 4, 1, 8, 0.25)
    assert served.latency_p50_ms is not None
    assert served.latency_p95_ms is not None
    assert 0 <= served.latency_p50_ms <= served.latency_p95_ms
    assert served.weights_resident_bytes == 7
    empty = queue.report(2)
    assert (empty.requests, empty.latency_p50_ms, empty.skip_ratio) == (0, None, None)
    queue.close()


def test_a_full_queue_turns_requests_away_and_takes_them_again_later() -> None:
    variant = Echo()
    variant.gate.clear()
    queue = InferenceQueue(variant)
    queued = [queue.infer(BATCH) for _ in range(MAX_WAITING)]
    with pytest.raises(QueueFull):
        queue.infer(BATCH)
    variant.gate.set()
    wait(queued, timeout=20)
    queue.infer(BATCH).result(10)
    assert queue.report(1).failed == 1
    queue.close()


class Timed(Echo):
    """Moves the queue's clock on by what an answer takes."""

    def __init__(self, now: list[float]) -> None:
        super().__init__()
        self.now = now
        self.takes_ms = 1.0

    def run(self, batch: Array) -> Answer:
        self.now[0] += self.takes_ms / 1e3
        return super().run(batch)


def test_quick_answers_are_given_here_unless_somebody_waits() -> None:
    now = [0.0]
    variant = Timed(now)
    queue = InferenceQueue(variant, clock=lambda: now[0])
    assert not queue.answers_here, "how long it takes is not known yet"
    queue.infer(BATCH).result(10)
    assert queue.answers_here
    assert queue.infer_here(BATCH).latency_ms == pytest.approx(1.0)
    variant.gate.clear()
    waiting = queue.infer(BATCH)
    assert not queue.answers_here
    variant.gate.set()
    waiting.result(10)
    variant.takes_ms = 2 * HERE_MS
    queue.infer_here(BATCH)
    assert queue.answers_here, "one may be late"
    for _ in range(2):
        queue.infer_here(BATCH)
    assert not queue.answers_here
    variant.takes_ms = 1.0
    queue.infer(BATCH).result(10)
    assert queue.answers_here
    with pytest.raises(ValueError, match="broken input"):
        queue.infer_here(np.full_like(BATCH, np.nan))
    queue.swap(Timed(now)).result(10)
    assert not queue.answers_here
    served = queue.report(1)
    assert (served.requests, served.failed, served.samples) == (7, 1, 14)
    queue.close()
