"""The inference lane: one thing after the other, honest counts, a bounded queue."""

import threading
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest

from tidegate.engines.engine import Answer, Array
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import OperatingPoint
from tidegate.paths import profiles_directory
from tidegate.worker.lane import MAX_WAITING, Lane, LaneFull

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
    lane = Lane(old)
    old.gate.clear()
    before = [lane.infer(BATCH) for _ in range(5)]
    swap = lane.swap(new)
    after = [lane.infer(BATCH) for _ in range(5)]
    old.gate.set()
    wait([swap, *before, *after], timeout=10)
    assert {future.result().point.name for future in before} == {"old"}
    assert {future.result().point.name for future in after} == {"new"}
    assert (old.released, new.released, lane.point.name) == (True, False, "new")
    lane.close()


def test_report_counts_since_the_last_one() -> None:
    lane = Lane(Echo())
    for _ in range(4):
        lane.infer(BATCH).result(10)
    broken = lane.infer(np.full_like(BATCH, np.nan))
    assert isinstance(broken.exception(10), ValueError)
    lane.call(lambda: None).result(10)
    served = lane.report(1)
    assert (served.id, served.requests, served.failed, served.samples, served.skip_ratio) == (1, 4, 1, 8, 0.25)
    assert served.latency_p50_ms is not None
    assert served.latency_p95_ms is not None
    assert 0 <= served.latency_p50_ms <= served.latency_p95_ms
    assert served.weights_resident_bytes == 7
    empty = lane.report(2)
    assert (empty.requests, empty.latency_p50_ms, empty.skip_ratio) == (0, None, None)
    lane.close()


def test_a_full_lane_turns_requests_away_and_takes_them_again_later() -> None:
    variant = Echo()
    variant.gate.clear()
    lane = Lane(variant)
    queued = [lane.infer(BATCH) for _ in range(MAX_WAITING)]
    with pytest.raises(LaneFull):
        lane.infer(BATCH)
    variant.gate.set()
    wait(queued, timeout=20)
    lane.infer(BATCH).result(10)
    assert lane.report(1).failed == 1
    lane.close()
