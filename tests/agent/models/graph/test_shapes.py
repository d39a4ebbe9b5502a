"""Shapes of values by the table's rules, against what torch computes."""

import pytest
import torch

from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.errors import BundleError
from tidegate.models.graph import INPUT, Argument, Node, Ref, Segment, Weight
from tidegate.models.graph.shapes import reshaped
from tidegate.models.precision import Fp32Weight


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("size", range(4, 12))
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (3, 3, 1), (2, 3, 1)])
def test_pools_count_their_windows_as_torch(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> None:
    arguments = (Ref(INPUT), (kernel, kernel), (stride, stride), (padding, padding), (1, 1), ceil)
    pool = Segment("pool", (1, 4, 4), (Node("max", "aten.max_pool2d.default", arguments, (1, 1, 1)),))
    expected = Interpreter(pool, {})(torch.zeros(1, 1, size, size)).shape
    assert reshaped(pool, (1, size, size), {}).output_shape == tuple(expected[1:])


@pytest.mark.parametrize(("resolution", "words"), [((0, 8), "a window of 5"), ((2, 2), "node max")])
def test_what_does_not_fit_is_refused_by_name(resolution: tuple[int, int], words: str) -> None:
    arguments = (Ref(INPUT), (5, 5), (1, 1), (0, 0), (1, 1), False)
    pool = Segment("pool", (1, 8, 8), (Node("max", "aten.max_pool2d.default", arguments, (1, 4, 4)),))
    with pytest.raises(BundleError, match=words):
        reshaped(pool, (1, *resolution), {})


ONE = [
    ("aten.conv_transpose2d.input", (Ref(INPUT), Weight("w.weight"), None, (2, 2), (1, 1), (1, 0), 1, (1, 1))),
    ("aten.constant_pad_nd.default", (Ref(INPUT), (1, 2, 0, 3), 0.0)),
    ("aten.slice.Tensor", (Ref(INPUT), 2, 1, 9223372036854775807, 2)),
    ("aten.slice.Tensor", (Ref(INPUT), 3, -3, -1, 1)),
    ("aten.matmul.default", (Ref(INPUT), Ref("turned"))),
    ("aten.upsample_nearest2d.vec", (Ref(INPUT), None, (2.0, 1.5))),
    ("aten.upsample_bilinear2d.vec", (Ref(INPUT), (9, 4), False, None)),
    ("aten.softmax.int", (Ref(INPUT), -1)),
    ("aten.sub.Tensor", (Ref(INPUT), 2.0)),
]


@pytest.mark.parametrize(("operator", "arguments"), ONE, ids=[operator for operator, _ in ONE])
@pytest.mark.parametrize("size", [(6, 7), (5, 4)])
def test_shapes_of_single_operators_are_torchs(
    operator: str, arguments: tuple[Argument, ...], size: tuple[int, int]
) -> None:
    turned = Node("turned", "aten.transpose.int", (Ref(INPUT), 2, 3), (2, 1, 1))
    graph = Segment("one", (2, 6, 7), (turned, Node("result", operator, arguments, (2, 1, 1))))
    shapes = {"w.weight": (2, 3, 3, 3)}
    weights = {name: Fp32Weight(torch.zeros(shape)) for name, shape in shapes.items()}
    expected = Interpreter(graph, weights)(torch.zeros(1, 2, *size)).shape
    assert reshaped(graph, (2, *size), shapes).output_shape == tuple(expected[1:])
