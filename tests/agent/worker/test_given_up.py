"""A point whose answers fail in a row is given up: the supervisor hears of it, and chooses among the others."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tidegate.engines.engine import Answer, Array
from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.registry import open_engine
from tidegate.engines.runtime.resident import ResidentEngine
from tidegate.messages import LINE_LIMIT_BYTES, Tried, decode_from_worker
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Ladder
from tidegate.paths import profiles_directory
from tidegate.worker import served_model
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.choosing import refused_points
from tidegate.worker.control import ControlChannel
from tidegate.worker.inference_queue import FAILURES, InferenceQueue
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.reception import Reception
from tidegate.worker.served_model import ModelParts, ServedModel
from tidegate.worker.shadow import Shadow

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
BATCH = np.zeros((1, *BUNDLE.input.shape), np.float32)


class Breaking:
    """The full point, which fails as a runtime without memory does."""

    point = BUNDLE.ladder.full
    weights_resident_bytes = 0

    def run(self, batch: Array) -> Answer:
        raise RuntimeError("Failed to allocate memory")

    def release(self) -> None:
        pass


def heard(ladder: Ladder, ask: Callable[[InferenceQueue], None], messages: int) -> list[Tried]:
    """What the supervisor hears while `ask` is answered by what breaks."""

    async def run() -> list[Tried]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT_BYTES)
        bundle = replace(BUNDLE, ladder=ladder)
        engine = ResidentEngine(open_engine(installed_engines()[0], bundle, None, False), 0)
        queue, canaries = InferenceQueue(Breaking()), BUNDLE.canaries()
        certified = CertifiedAnswers(engine, ladder, refused_points(engine, ladder), canaries, queue)
        shadow = Shadow(engine, ladder.full, bundle.calibration.comparison, queue)
        parts = ModelParts(bundle.model, bundle, Interface.of(bundle), engine, queue, shadow, certified, canaries)
        channel = await asyncio.open_unix_connection(sock=theirs, limit=LINE_LIMIT_BYTES)
        model = ServedModel(parts)
        kept = ControlChannel(*channel, model=model, reception=Reception(), takes_connections=lambda: True)
        await asyncio.to_thread(ask, queue)
        found = []
        for _ in range(messages):
            async with asyncio.timeout(20):
                message = decode_from_worker(await reader.readline())
            assert isinstance(message, Tried)
            found.append(message)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.readline()
        writer.close()
        queue.close()
        assert not kept.may_serve.is_set()
        return found

    return asyncio.run(run())


def fail(times: int) -> Callable[[InferenceQueue], None]:
    def ask(queue: InferenceQueue) -> None:
        for _ in range(times):
            with pytest.raises(RuntimeError, match="allocate"):
                queue.infer(BATCH).result(10)

    return ask


def test_a_point_that_keeps_failing_is_refused_and_offered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_model, "GIVEN_UP_S", 0.0)
    gone, back = heard(BUNDLE.ladder, fail(FAILURES), 2)
    reason = gone.refused["full"]
    assert reason == f"it failed {FAILURES} times in a row: Failed to allocate memory"
    assert "full" not in back.refused
    assert {**back.refused, "full": reason} == gone.refused, "what the engine can't run stays refused"


def test_one_failure_less_is_none() -> None:
    assert heard(BUNDLE.ladder, fail(FAILURES - 1), 0) == []


def test_the_only_point_is_kept() -> None:
    assert heard(Ladder((BUNDLE.ladder.full,)), fail(FAILURES), 0) == []
