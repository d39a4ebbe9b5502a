"""Whether an operator can give negative values follows from its arguments, and from the signs of what it reads."""

import math

import pytest

from tidegate.models.graph import INPUT, Argument, Node, Ref, Segment, Weight
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.bound_rules import NEVER_NEGATIVE, Bounds
from tidegate.models.graph.bounds import bounds_of

SHAPE = (2, 4, 4)
X = Ref(INPUT)
R = Ref("r")
"""The input behind a ReLU."""


def bounds(operator: str, *args: Argument, **kwargs: Argument) -> Bounds:
    return bounds_of(segment(operator, *args, **kwargs))["y"]


def segment(operator: str, *args: Argument, **kwargs: Argument) -> Segment:
    relu = Node("r", "aten.relu.default", (X,), SHAPE)
    return Segment("s", SHAPE, (relu, Node("y", operator, args, SHAPE, kwargs)))


@pytest.mark.parametrize(
    ("operator", "args", "kwargs", "low"),
    [
        ("aten.hardtanh.default", (X, 0.0, 6.0), {}, 0),
        ("aten.hardtanh.default", (X, -1.0, 1.0), {}, -1),
        ("aten.hardtanh.default", (X,), {}, -1),
        ("aten.hardtanh.default", (X, -3), {}, -3),
        ("aten.hardtanh.default", (X,), {"min_val": 0.0, "max_val": 6.0}, 0),
        ("aten.hardtanh.default", (R, -1.0, 1.0), {}, 0),
        ("aten.hardtanh.default", (X, 2.0, -1.0), {}, -1),
        ("aten.leaky_relu.default", (X,), {}, -math.inf),
        ("aten.leaky_relu.default", (X, 0.0), {}, 0),
        ("aten.leaky_relu.default", (X, -0.5), {}, 0),
        ("aten.elu.default", (X,), {}, -1),
        ("aten.elu.default", (X, 0.5, 2.0), {}, -1),
        ("aten.elu.default", (X, -1.0), {}, 0),
        ("aten.elu.default", (X, 1.0, -1.0), {}, -math.inf),
        ("aten.gelu.default", (X,), {"approximate": "tanh"}, -0.1701),
        ("aten.silu.default", (R,), {}, 0),
        ("aten.tanh.default", (X,), {}, -1),
        ("aten.tanh.default", (R,), {}, 0),
        ("aten.softmax.int", (X, 1), {}, 0),
        ("aten.add.Tensor", (R, R), {}, 0),
        ("aten.add.Tensor", (R, R), {"alpha": -1}, -math.inf),
        ("aten.add.Tensor", (R, -0.5), {}, -0.5),
        ("aten.add.Tensor", (R, 0.5), {"alpha": -2.0}, -1),
        ("aten.add.Tensor", (R, Weight("s.w")), {}, -math.inf),
        ("aten.sub.Tensor", (R, R), {}, -math.inf),
        ("aten.sub.Tensor", (R, R), {"alpha": -1}, 0),
        ("aten.mul.Tensor", (R, -1.0), {}, -math.inf),
        ("aten.mul.Tensor", (X, X), {}, 0),
        ("aten.div.Tensor", (R, -2.0), {}, -math.inf),
        ("aten.div.Tensor", (R, R), {}, -math.inf),
        ("aten.constant_pad_nd.default", (R, (1, 1)), {}, 0),
        ("aten.constant_pad_nd.default", (R, (1, 1), -3.0), {}, -3),
        ("aten.constant_pad_nd.default", (R, (1, 1)), {"value": -3.0}, -3),
        ("aten.avg_pool2d.default", (R, (2, 2)), {}, 0),
        ("aten.avg_pool2d.default", (R, (2, 2), (2, 2), (0, 0), False, True, -2), {}, -math.inf),
        ("aten.cat.default", ((R, X), 1), {}, -math.inf),
        ("aten.cat.default", ((R, R), 1), {}, 0),
        ("aten.scaled_dot_product_attention.default", (X, X, R), {}, 0),
        ("aten.matmul.default", (R, R), {}, 0),
        ("aten.matmul.default", (R, X), {}, -math.inf),
    ],
)
def test_the_least_value(
    operator: str, args: tuple[Argument, ...], kwargs: dict[str, Argument], low: float
) -> None:
    assert bounds(operator, *args, **kwargs).low == low


def test_only_the_sign_of_what_is_read_counts() -> None:
    # AA-ReLU may round a value of tanh up to 1.2, so 1 - tanh is nothing that is never negative.
    tanh = Node("t", "aten.tanh.default", (R,), SHAPE)
    relu = Node("r", "aten.relu.default", (X,), SHAPE)
    rest = Node("y", "aten.sub.Tensor", (1.0, Ref("t")), SHAPE)
    assert bounds_of(Segment("s", SHAPE, (relu, tanh, rest)))["y"].low == -math.inf


def test_what_comes_in_counts() -> None:
    pooled = Segment("s", SHAPE, (Node("y", "aten.max_pool2d.default", (X, (1, 1)), SHAPE),))
    assert bounds_of(pooled)["y"].low == -math.inf
    assert bounds_of(pooled, NEVER_NEGATIVE)["y"].low == 0


def test_zero_is_always_kept() -> None:
    (_, tensor) = activation_tensors_of(segment("aten.hardtanh.default", X, 0.5, 6.0))
    assert tensor.floor == 0
