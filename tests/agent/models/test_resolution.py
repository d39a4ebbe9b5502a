"""A network's shapes on images of another size, against what torch computes on tensors without data."""

from pathlib import Path

import pytest
import torch

from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.bundle import open_bundle
from tidegate.models.precision import Fp32Weight
from tidegate.models.resolution import at_resolution

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
