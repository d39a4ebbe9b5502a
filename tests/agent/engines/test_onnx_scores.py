"""A gate's score as ONNX operators gives what numpy does, from floats and from codes."""

from collections.abc import Callable

import numpy as np
import pytest

from tidegate.engines.onnxruntime.gate import emit_mean_of_codes, emit_score
from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.onnxruntime.protobuf import ElementType, OnnxGraph, ValueInfo, constants_of, model_bytes
from tidegate.engines.onnxruntime.session import open_session
from tidegate.models.ladder import Activity

SHAPES = [(56, 56, 64), (7, 5, 3), (128, 384), (10,)]
SCALE = 0.0173


def scored(build: GraphBuilder, kind: ElementType, name: str, value: np.ndarray) -> np.ndarray:
    graph = OnnxGraph(
        "score",
        build.nodes,
        [ValueInfo("x", kind, value.shape)],
        [ValueInfo(name, ElementType.FLOAT, (1,))],
        [*constants_of(build.constants)],
    )
    found: np.ndarray = open_session(model_bytes(graph), None, threads=1).run(None, {"x": value})[0]
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("high", [1, 255])
def test_the_mean_of_codes(shape: tuple[int, ...], high: int) -> None:
    codes = np.random.default_rng(0).integers(0, high, (1, *shape), np.uint8, endpoint=True)
    build = GraphBuilder("s", {})
    found = scored(build, ElementType.UINT8, emit_mean_of_codes(build, "x", shape, SCALE), codes)
    assert found.shape == (1,)
    np.testing.assert_allclose(found[0], codes.astype(np.float64).mean() * SCALE, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        (Activity.MEAN_ABS, lambda x: np.abs(x).mean()),
        (Activity.RMS, lambda x: np.sqrt(np.square(x).mean())),
        (Activity.MAX, lambda x: np.abs(x).max()),
        (Activity.SPARSITY, lambda x: (x != 0).mean()),
    ],
)
def test_the_score_of_floats(
    shape: tuple[int, ...], activity: Activity, expected: Callable[[np.ndarray], float]
) -> None:
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    x[np.abs(x) < 0.5] = 0
    build = GraphBuilder("s", {})
    found = scored(build, ElementType.FLOAT, emit_score(build, activity, "x", x.ndim), x)
    assert found.shape == (1,)
    np.testing.assert_allclose(found[0], expected(x.astype(np.float64)), rtol=1e-4)
