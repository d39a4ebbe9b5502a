"""Shapes of values on images of another size, against what torch computes on tensors without data."""

from pathlib import Path

import pytest
import torch

from agent.engines.interpreter import Interpreter
from agent.models.bundle import open_bundle
from agent.models.errors import BundleError
from agent.models.graph import INPUT, Node, Ref, Segment
from agent.models.precision import Fp32Weight
from agent.models.shapes import at_resolution, reshaped

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")


@pytest.mark.parametrize("resolution", [(8, 8), (12, 10), (7, 9)])
def test_every_value_has_the_shape_that_torch_gives_it(resolution: tuple[int, int]) -> None:
    found = at_resolution(BUNDLE, resolution)
    weights = {n: Fp32Weight(torch.empty(shape, device="meta")) for n, shape in BUNDLE.weight_shapes.items()}
    inputs = {}
    x = torch.empty((1, 1, *resolution), device="meta")
    for segment in found.segments:
        inputs[segment.name] = x
        x = Interpreter(segment, weights)(x)
    stand_ins = {block: graph for block, kinds in found.stand_ins.items() for graph in kinds.values()}
    by_block = {**{segment.name: segment for segment in found.segments}, **stand_ins, **found.exit_heads}
    for block, graph in by_block.items():
        values = Interpreter(graph, weights).values(inputs[block])
        assert {node.name: (1, *node.shape) for node in graph.nodes} == {
            node.name: tuple(values[node.name].shape) for node in graph.nodes
        }
    assert found.stand_ins.keys() == BUNDLE.stand_ins.keys()
    assert found.exit_heads.keys() == BUNDLE.exit_heads.keys()


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
