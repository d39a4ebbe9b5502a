"""Shadow runs compare with the full model on the stated share, in the queue, and count by point."""

from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest

from tidegate.engines.engine import Answer
from tidegate.engines.runtime.registry import open_engine
from tidegate.messages import ShadowCount
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Compared, Comparison, OperatingPoint
from tidegate.paths import profiles_directory
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.shadow import Shadow

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
FULL, CHEAPEST = BUNDLE.ladder.full, BUNDLE.ladder.cheapest


def batch() -> np.ndarray:
    return BUNDLE.canaries().inputs.astype(np.float32)


def test_every_answer_is_compared_at_a_share_of_one_and_none_at_zero() -> None:
    engine = open_engine(CHEAPEST.engine, BUNDLE)
    queue = InferenceQueue(engine.prepare(CHEAPEST))
    shadow = Shadow(engine, FULL, BUNDLE.calibration.comparison, queue)
    answered = queue.infer(batch()).result(30)
    assert shadow.consider(batch(), answered, 0.0) is None
    queued = shadow.consider(batch(), answered, 1.0)
    assert queued is not None
    wait([queued], timeout=30)
    full = engine.prepare(FULL).run(batch()).outputs.argmax(axis=1)
    apart = int((answered.answer.outputs.argmax(axis=1) != full).sum())
    assert shadow.take() == (ShadowCount(CHEAPEST.name, len(batch()), apart),)
    assert shadow.take() == ()
    released = shadow.consider(batch(), answered, 0.0)
    assert released is not None
    wait([released], timeout=30)
    queue.close()


def test_the_share_is_by_chance_and_the_full_model_is_never_its_own_shadow() -> None:
    engine = open_engine(FULL.engine, BUNDLE)
    queue = InferenceQueue(engine.prepare(FULL))
    chances = iter([0.4, 0.6])
    shadow = Shadow(engine, FULL, BUNDLE.calibration.comparison, queue, lambda: next(chances))
    answered = queue.infer(batch()).result(30)
    assert shadow.consider(batch(), answered, 1.0) is None
    other = replace(answered, point=CHEAPEST)
    assert shadow.consider(batch(), other, 0.5) is not None
    assert shadow.consider(batch(), other, 0.5) is None
    queue.close()


class Regressor:
    """An engine and its variant at once: one output per sample, off by 1 at every point but the full one."""

    name = "regressor"
    weights_resident_bytes = 0

    def __init__(self, point: OperatingPoint = FULL) -> None:
        self.point = point

    def check(self, point: OperatingPoint) -> None:
        """Runs anything."""

    def prepare(self, point: OperatingPoint) -> "Regressor":
        return Regressor(point)

    def run(self, batch: np.ndarray) -> Answer:
        return Answer(batch.sum(1, keepdims=True) + (self.point is not FULL), 0, 0)

    def release(self) -> None:
        """Holds nothing."""


@pytest.mark.parametrize(
    ("comparison", "apart"),
    [
        (Comparison(Compared.THRESHOLD, 5.0), 1),
        (Comparison(Compared.DISTANCE, 0.5), 3),
        (Comparison(Compared.DISTANCE, 1.5), 0),
    ],
)
def test_one_output_is_compared_as_the_ladder_was_certified(comparison: Comparison, apart: int) -> None:
    engine = Regressor()
    queue = InferenceQueue(engine.prepare(CHEAPEST))
    shadow = Shadow(engine, FULL, comparison, queue)
    inputs = np.array([[1.0, 1.0], [2.0, 2.5], [9.0, 9.0]], np.float32)
    queued = shadow.consider(inputs, queue.infer(inputs).result(30), 1.0)
    assert queued is not None
    wait([queued], timeout=30)
    assert shadow.take() == (ShadowCount(CHEAPEST.name, 3, apart),)
    queue.close()


def test_a_ladder_certified_by_somebodys_function_has_no_shadow_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Regressor()
    queue = InferenceQueue(engine.prepare(CHEAPEST))
    shadow = Shadow(engine, FULL, Comparison(Compared.OWN), queue)
    inputs = np.ones((1, 2), np.float32)
    answered = queue.infer(inputs).result(30)
    assert [shadow.consider(inputs, answered, 1.0) for _ in range(3)] == [None] * 3
    assert shadow.take() == ()
    assert caplog.text.count("the drift guard sees nothing") == 1
    queue.close()
