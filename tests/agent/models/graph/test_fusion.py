"""A value is fused with what reads it where that is one elementwise operator on values of the same shape."""

import pytest

from tidegate.models.graph import INPUT, Node, Ref, Segment, Weight
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.fusion import fused_with_reader, is_clamp, only_readers

SHAPE = (2, 4, 4)
X = Ref(INPUT)
CONV = Node("c", "aten.conv2d.default", (X, Weight("c.weight")), SHAPE)
RELU = Node("r", "aten.relu.default", (Ref("c"),), SHAPE)


def segment(*nodes: Node) -> Segment:
    return Segment("s", SHAPE, nodes)


@pytest.mark.parametrize(
    ("nodes", "fused"),
    [
        ((CONV, RELU), {"c"}),
        ((CONV, Node("m", "aten.mish.default", (Ref("c"),), SHAPE)), {"c"}),
        ((CONV, Node("a", "aten.add.Tensor", (Ref("c"), X), SHAPE)), {"c"}),
        ((CONV, RELU, Node("a", "aten.add.Tensor", (Ref("r"), Ref("c")), SHAPE)), set()),
        ((CONV, Node("q", "aten.mul.Tensor", (Ref("c"), Ref("c")), SHAPE)), set()),
        ((CONV, Node("p", "aten.max_pool2d.default", (Ref("c"), 2), (2, 2, 2))), set()),
        ((Node("r", "aten.relu.default", (X,), SHAPE), Node("s", "aten.relu.default", (Ref("r"),), SHAPE)), set()),
        ((CONV,), set()),
    ],
    ids=["clamp", "activation", "sum", "read by two", "read twice", "pool", "no epilogue", "output"],
)
def test_what_is_fused_is_not_stored(nodes: tuple[Node, ...], fused: set[str]) -> None:
    graph = segment(*nodes)
    assert fused_with_reader(graph) == fused
    stored = {tensor.node for tensor in activation_tensors_of(graph)}
    assert stored == {node.name for node in nodes} - fused


def test_only_readers_are_those_of_values_that_are_read_once() -> None:
    graph = segment(CONV, RELU, Node("a", "aten.add.Tensor", (Ref("r"), X), SHAPE))
    assert {name: node.name for name, node in only_readers(graph).items()} == {"c": "r", "r": "a"}


def test_a_relu_is_a_clamp_and_a_sum_is_none() -> None:
    assert is_clamp(RELU)
    assert is_clamp(Node("h", "aten.hardtanh.default", (X, 0.0, 6.0), SHAPE))
    assert not is_clamp(Node("a", "aten.add.Tensor", (X, 1.0), SHAPE))
