"""Models as people write them become graphs that answer alike on every engine, or are refused with what to do."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from user_models import (
    IMAGE,
    MODELS,
    VECTOR,
    FixedBatch,
    MobileV3,
    VisionTransformer,
)

from tidegate.calibration.candidate import candidate
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import target_engines
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.export import ExportError, export_module
from tidegate.models.network import TrainedNetwork

pytestmark = pytest.mark.long

SAMPLES = 12


def made(kind: type[nn.Module]) -> tuple[nn.Module, torch.Tensor]:
    """An untrained model whose batch norms have seen data, and inputs."""
    torch.manual_seed(0)
    model, inputs = kind(), torch.randn(SAMPLES, *kind.shape)
    with torch.no_grad():
        model.train()(inputs)
    return model.eval(), inputs


@cache
def found_in(kind: type[nn.Module]) -> tuple[nn.Module, torch.Tensor, TrainedNetwork]:
    """The model, its inputs, and the network that it becomes: torch takes seconds for that."""
    model, inputs = made(kind)
    return model, inputs, discover(model, inputs[:2]).network


@pytest.mark.parametrize("kind", MODELS)
def test_every_engine_answers_like_the_model(kind: type[nn.Module]) -> None:
    model, inputs, network = found_in(kind)
    with torch.no_grad():
        expected = model(inputs).reshape(SAMPLES, -1).numpy()
    for host in target_engines(("eager", "onnx")):
        answer = host.over(network).prepare(candidate(KnobSettings(), host.name)).run(inputs.numpy())
        assert np.abs(answer.outputs - expected).max() < 1e-5 * max(1, np.abs(expected).max()), host.name


@pytest.mark.parametrize(
    ("kind", "shape", "words"),
    [
        (FixedBatch, VECTOR, "x.shape\\[0\\] rather than len"),
    ],
)
def test_what_no_graph_can_say_is_refused_with_words(
    kind: type[nn.Module], shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ExportError, match=words):
        export_module(kind(), torch.randn(2, *shape))


def test_blocks_are_found_in_them() -> None:
    for kind, count in ((VisionTransformer, 4), (MobileV3, 2)):
        *_, network = found_in(kind)
        assert sum(segment.skippable for segment in network.segments) == count


def test_a_model_is_left_as_it_was() -> None:
    model, inputs = made(MobileV3)
    with torch.no_grad():
        before = model(inputs)
        network = discover(model, inputs[:2]).network
        assert torch.equal(model(inputs), before)
    EagerEngine(network)
    assert network.segments[0].input_shape == IMAGE
