"""A real endpoint on the shipped bundle, in this process."""

from collections.abc import Iterator

import pytest

from tidegate.engines.runtime.registry import installed_engines, open_engine
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.worker.endpoint import Endpoint, ModelCard
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.protocol import Interface
from tidegate.worker.shadow import Shadow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    engine = open_engine(installed_engines()[0], bundle, None, False)
    queue = InferenceQueue(engine.prepare(bundle.ladder.full))
    interface = Interface(bundle.input.name, bundle.input.shape, bundle.input.scale, "logits")
    shadow = Shadow(engine, bundle.ladder.full, bundle.calibration.comparison, queue)
    yield Endpoint(ModelCard(bundle.model, interface, (len(bundle.labels),)), queue, shadow)
    queue.close()
