"""Every operator with random arguments, alone between a layer and a gate that reads its output as it is."""

import hypothesis.strategies as st
import numpy as np
import torch
from operator_arguments import Drawn, X, draw_call, takes_images_only
from random_networks import Builder, Shape

from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.graph import Node, Segment, Weight
from tidegate.models.graph.operator import Domain
from tidegate.models.graph.operators import ADD, FLATTEN, MUL, OPERATORS
from tidegate.models.network import TrainedNetwork
from tidegate.models.precision import Fp32Weight

IMAGE: Shape = (8, 7, 6)
TOKENS: Shape = (5, 8)
ANSWERS = 7

CALLS = [
    (operator, shape)
    for operator, record in OPERATORS.items()
    for shape in ((IMAGE,) if takes_images_only(record) else (IMAGE, TOKENS))
]
"""Every operator of the table, with the shapes of values that it is tried on."""

BEFORE = ("aten.relu.default", "aten.sigmoid.default", "aten.tanh.default", None)
"""What the operator reads: nothing negative, or anything."""

ABOVE_ZERO = "aten.hardtanh.default"
"""What roots, logarithms and reciprocals read: near 0 a rounding to 8 bits moves them anywhere."""


def reads_above_zero(operator: str) -> bool:
    """Whether only values above 0 make sense in front of it."""
    return any(parameter.domain is Domain.POSITIVE_X for parameter in OPERATORS[operator].parameters)


def reads_row_numbers(operator: str) -> bool:
    """Whether it looks rows up by whole numbers."""
    return any(parameter.domain is Domain.ROW_NUMBERS for parameter in OPERATORS[operator].parameters)


@st.composite
def operator_networks(draw: st.DrawFn, operator: str, shape: Shape) -> TrainedNetwork:
    """A layer, the operator with random arguments, a block whose gate reads what it gives, and a head."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    record = OPERATORS[operator]
    call = draw_call(draw, record, shape)
    before = ABOVE_ZERO if reads_above_zero(operator) else draw(st.sampled_from(BEFORE))
    return network_around(call, operator, shape, before, rng)


def network_around(
    call: Drawn, operator: str, shape: Shape, before: str | None, rng: np.random.Generator
) -> TrainedNetwork:
    """The same with a given call, and an operator `before` it."""
    arrays: dict[str, np.ndarray] = {}
    stem = Builder("stem", (3, *shape[1:]) if len(shape) == 3 else shape, arrays, rng)
    if reads_row_numbers(operator):
        # Of a layer's values another rounding is another row.
        stem = Builder("stem", shape, arrays, rng)
        stem.add(MUL, (X, 8.0), shape)
    elif len(shape) == 3:
        x = stem.conv(X, stem.shape, shape[0], 1)[0]
    else:
        x = stem.linear(X, stem.shape, shape[-1])[0]
    if before is not None and not reads_row_numbers(operator):
        stem.add(before, (x, 0.5, 3.0) if before == ABOVE_ZERO else (x,), shape)
    alone = _alone(call, operator, shape, arrays, rng)
    block = Builder("b1", alone.output_shape, arrays, rng)
    _block(block)
    head = Builder("head", alone.output_shape, arrays, rng)
    flat = int(np.prod(head.shape))
    y = head.add(FLATTEN, (X, 1), (flat,))
    head.linear(y, (flat,), ANSWERS)
    return TrainedNetwork((stem.done(), alone, block.done(), head.done()), arrays)


def behind_an_exit(network: TrainedNetwork, rng: np.random.Generator) -> TrainedNetwork:
    """The network with a block `a` in front of the operator, and an exit before that."""
    stem, *others = network.segments
    arrays = dict(network.arrays)
    entry = Builder("a", stem.output_shape, arrays, rng)
    _block(entry)
    leaving = Builder("a.exit", stem.output_shape, arrays, rng)
    flat = int(np.prod(leaving.shape))
    x = leaving.add(FLATTEN, (X, 1), (flat,))
    leaving.linear(x, (flat,), ANSWERS)
    return TrainedNetwork((stem, entry.done(), *others), arrays, exit_heads={"a": leaving.done()})


def _alone(
    drawn: Drawn, operator: str, shape: Shape, arrays: dict[str, np.ndarray], rng: np.random.Generator
) -> Segment:
    """The call as a segment that always runs; torch says what shape comes of it."""
    for name, sizes in drawn.weights.items():
        arrays[f"b0.op.{name}"] = rng.normal(size=sizes).astype(np.float32)
    args = tuple(Weight(f"b0.op.{arg.weight}") if isinstance(arg, Weight) else arg for arg in drawn.args)
    used = {arg.weight for arg in args if isinstance(arg, Weight)}
    for name in [name for name in arrays if name.startswith("b0.") and name not in used]:
        del arrays[name]
    node = Node("op", operator, args, shape, drawn.kwargs)
    weights = {name: Fp32Weight(torch.from_numpy(arrays[name])) for name in used}
    given = Segment("b0", shape, (node,))
    found = tuple(Interpreter(given, weights)(torch.zeros((2, *shape))).shape[1:])
    return Segment("b0", shape, (Node("op", operator, args, found, drawn.kwargs),), fixed=True)


def _block(build: Builder) -> None:
    """A layer of the input's shape, and its sum with the input."""
    if len(build.shape) == 3:
        channels = build.shape[0]
        x = build.conv(X, build.shape, channels, 1)[0]
    else:
        channels = build.shape[-1]
        x = build.linear(X, build.shape, channels)[0]
    if channels == 1:
        # With a weight near -1 the sum is next to nothing but what 8 bits rounded off its two sides.
        (weight,) = (
            name for name in build.arrays if name.startswith(f"{build.name}.") and name.endswith("weight")
        )
        build.arrays[weight] = np.abs(build.arrays[weight])
    build.add(ADD, (x, X), build.shape)
