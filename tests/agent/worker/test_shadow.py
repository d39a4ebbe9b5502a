"""Shadow runs compare with the full model on the stated share, in the lane, and count by point."""

from concurrent.futures import wait
from dataclasses import replace

import numpy as np

from agent.engines.catalog import open_engine
from agent.messages import ShadowCount
from agent.models.bundle import open_bundle
from agent.paths import profiles_directory
from agent.worker.lane import Lane
from agent.worker.shadow import Shadow

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
FULL, CHEAPEST = BUNDLE.ladder.full, BUNDLE.ladder.cheapest


def batch() -> np.ndarray:
    return BUNDLE.canaries().inputs.astype(np.float32)


def test_every_answer_is_compared_at_a_share_of_one_and_none_at_zero() -> None:
    engine = open_engine(CHEAPEST.engine, BUNDLE)
    lane = Lane(engine.prepare(CHEAPEST))
    shadow = Shadow(engine, FULL, lane)
    answered = lane.infer(batch()).result(30)
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
    lane.close()


def test_the_share_is_by_chance_and_the_full_model_is_never_its_own_shadow() -> None:
    engine = open_engine(FULL.engine, BUNDLE)
    lane = Lane(engine.prepare(FULL))
    chances = iter([0.4, 0.6])
    shadow = Shadow(engine, FULL, lane, lambda: next(chances))
    answered = lane.infer(batch()).result(30)
    assert shadow.consider(batch(), answered, 1.0) is None
    other = replace(answered, point=CHEAPEST)
    assert shadow.consider(batch(), other, 0.5) is not None
    assert shadow.consider(batch(), other, 0.5) is None
    lane.close()
