"""A request's own bound: the serving point where it is certified for it, the next dearer one, or a refusal."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from tidegate.engines.engine import Engine, Variant
from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.paths import profiles_directory
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.choosing import refused_points
from tidegate.worker.inference_queue import InferenceQueue, OtherPoint
from tidegate.worker.protocol.refusals import BadRequest

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
CANARIES = BUNDLE.canaries()
BATCH = CANARIES.inputs[:2].astype(np.float32)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return open_engine(installed_engines()[0], BUNDLE, None, False)


@pytest.fixture(scope="module")
def ladder(engine: Engine) -> Ladder:
    """The certified points that run here."""
    refused = refused_points(engine, BUNDLE.ladder)
    return Ladder(
        tuple(point for point in BUNDLE.ladder.points if point.name not in refused and point.certificate)
    )


@pytest.fixture
def queue(engine: Engine, ladder: Ladder) -> Iterator[InferenceQueue]:
    queue = InferenceQueue(engine.prepare(ladder.cheapest))
    yield queue
    queue.close()


def risk_of(point: OperatingPoint) -> float:
    assert point.certified_risk is not None
    return point.certified_risk


def test_the_first_certified_point_on_the_way_up_answers(
    engine: Engine, ladder: Ladder, queue: InferenceQueue
) -> None:
    answers = CertifiedAnswers(engine, ladder, {}, CANARIES, queue)
    bounds = sorted({risk_of(point) for point in ladder.points})
    assert len(bounds) > 1

    async def visit() -> None:
        for bound in bounds:
            expected = next(point for point in reversed(ladder.points) if risk_of(point) <= bound)
            answered = await answers.infer(BATCH, bound)
            assert answered.point.name == expected.name
            own = engine.prepare(expected)
            np.testing.assert_array_equal(answered.answer.outputs, own.run(BATCH).outputs)
            own.release()
        assert queue.point.name == ladder.cheapest.name

    asyncio.run(visit())


def test_it_is_refused_where_no_dearer_point_can_answer(
    engine: Engine, ladder: Ladder, queue: InferenceQueue
) -> None:
    all_others = dict.fromkeys(ladder.names[:-1], "not on this engine")
    answers = CertifiedAnswers(engine, ladder, all_others, CANARIES, queue)
    with pytest.raises(BadRequest, match="no dearer point is certified for it; this ladder has"):
        asyncio.run(answers.infer(BATCH, 0.0))


def test_the_variant_goes_when_nobody_asks_for_it(engine: Engine, ladder: Ladder, queue: InferenceQueue) -> None:
    prepared: list[str] = []

    class Counting:
        name = engine.name
        check = engine.check

        def prepare(self, point: OperatingPoint) -> Variant:
            prepared.append(point.name)
            return engine.prepare(point)

    answers = CertifiedAnswers(Counting(), ladder, {}, CANARIES, queue)

    async def visit() -> None:
        for _ in range(3):
            await asyncio.gather(*(answers.infer(BATCH, 0.0) for _ in range(3)))
            answers.after_window()
        assert prepared == [ladder.full.name]
        answers.after_window()
        answered = await answers.infer(BATCH, 0.0)
        assert answered.point.name == ladder.full.name
        assert prepared == [ladder.full.name] * 2

    asyncio.run(visit())


def test_a_switch_while_a_request_waits_does_not_loosen_it(engine: Engine, ladder: Ladder) -> None:
    queue = InferenceQueue(engine.prepare(ladder.full))
    answers = CertifiedAnswers(engine, ladder, {}, CANARIES, queue)

    async def visit() -> None:
        queue.swap(engine.prepare(ladder.cheapest))
        answered = await answers.infer(BATCH, 0.0)
        assert answered.point.name == ladder.full.name
        with pytest.raises(OtherPoint):
            await asyncio.wrap_future(queue.infer(BATCH, only=lambda point: point.name == ladder.full.name))

    asyncio.run(visit())
    assert queue.report(1).failed == 0
    queue.close()
