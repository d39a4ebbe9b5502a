"""Every operator with random arguments, alone between a layer and a gate that reads its output as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import torch
from random_networks import Builder, Shape

from tidegate.engines.interpreter import Interpreter
from tidegate.models.graph import INPUT, Argument, BatchSize, Node, Ref, Segment, Weight
from tidegate.models.network import TrainedNetwork
from tidegate.models.precision import Fp32Weight

IMAGE: Shape = (8, 7, 6)
TOKENS: Shape = (5, 8)
ANSWERS = 7
X = Ref(INPUT)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One call: its arguments, and the shapes of the weights among them by name."""

    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument] | None = None
    weights: Mapping[str, Shape] | None = None


Draw = Callable[[st.DrawFn, Shape], Drawn]

limits = st.floats(-3, 3).map(lambda x: round(x, 2))
_positive = st.floats(0.25, 3).map(lambda x: round(x, 2))
_flags = st.booleans()


def _some(draw: st.DrawFn, *arguments: Argument) -> tuple[Argument, ...]:
    """The first few of the arguments: those behind them keep their defaults."""
    return arguments[: draw(st.integers(0, len(arguments)))]


def _plain(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X,))


def _hardtanh(draw: st.DrawFn, shape: Shape) -> Drawn:
    low, high = sorted((draw(limits), draw(limits)))
    return Drawn((X, *_some(draw, low, high))) if low < 1 and high > -1 and low < high else Drawn((X, low, high))


def _elu(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, *_some(draw, draw(limits), draw(limits), draw(_positive))))


def _leaky(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, *_some(draw, draw(limits))))


def _gelu(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X,), draw(st.sampled_from([{}, {"approximate": "tanh"}, {"approximate": "none"}])))


def _scaled(draw: st.DrawFn, shape: Shape) -> Drawn:
    """A sum or difference: with itself, a number or a weight, some times a multiple."""
    other = draw(st.sampled_from([X, Weight("w"), draw(limits)]))
    kwargs = {"alpha": draw(limits)} if draw(_flags) else {}
    return Drawn((X, other), kwargs, {"w": (shape[0], *[1] * (len(shape) - 1))})


def _product(draw: st.DrawFn, shape: Shape) -> Drawn:
    other = draw(st.sampled_from([X, Weight("w"), draw(limits)]))
    return Drawn((X, other), None, {"w": (shape[0], *[1] * (len(shape) - 1))})


def _quotient(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, draw(_positive) * draw(st.sampled_from([1, -1]))))


def _average_pool(draw: st.DrawFn, shape: Shape) -> Drawn:
    kernel, more = _window(draw)
    ceil, count = draw(_flags), draw(_flags)
    divisor = draw(st.sampled_from([None, None, 3, -2]))
    return Drawn((X, kernel, *_some(draw, *more, ceil, count, divisor)))


def _max_pool(draw: st.DrawFn, shape: Shape) -> Drawn:
    kernel, more = _window(draw)
    return Drawn((X, kernel, *_some(draw, *more, draw(st.sampled_from([(1, 1), (2, 1)])), draw(_flags))))


def _window(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[Argument, Argument]]:
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    stride = draw(st.sampled_from([(1, 1), (2, 2), (2, 1), (3, 2)]))
    padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    return kernel, (stride, padding)


def _adaptive(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, (draw(st.integers(1, 7)), draw(st.integers(1, 6)))))


def _joined(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn(((X, X), draw(st.sampled_from([1, 2, 3, -1, -2]))))


def _padded(draw: st.DrawFn, shape: Shape) -> Drawn:
    pads = tuple(draw(st.integers(-1, 2)) for _ in range(2 * draw(st.integers(1, 2))))
    return Drawn((X, pads, *_some(draw, draw(limits))))


def _convolution(draw: st.DrawFn, shape: Shape) -> Drawn:
    kernel, (stride, padding) = _window(draw)
    groups = draw(st.sampled_from([1, 2, 8]))
    weights = {"w": (16, shape[0] // groups, *kernel), "b": (16,)}
    bias = draw(st.sampled_from([None, Weight("b")]))
    more = _some(draw, stride, padding, draw(st.sampled_from([(1, 1), (2, 1)])))
    rest = (*more, groups) if len(more) == 3 else more
    if groups > 1 and len(more) < 3:
        weights["w"] = (16, shape[0], *kernel)
    return Drawn((X, Weight("w"), bias, *rest), None, weights)


def _transposed(draw: st.DrawFn, shape: Shape) -> Drawn:
    kernel, (stride, padding) = _window(draw)
    more = _some(draw, stride, padding, tuple(draw(st.integers(0, step - 1)) for step in stride))
    bias = draw(st.sampled_from([None, Weight("b")]))
    return Drawn((X, Weight("w"), bias, *more), None, {"w": (shape[0], 6, *kernel), "b": (6,)})


def _linear(draw: st.DrawFn, shape: Shape) -> Drawn:
    bias = draw(st.sampled_from([(), (None,), (Weight("b"),)]))
    return Drawn((X, Weight("w"), *bias), None, {"w": (9, shape[-1]), "b": (9,)})


def _layer_norm(draw: st.DrawFn, shape: Shape) -> Drawn:
    sizes = shape[draw(st.integers(0, len(shape) - 1)) :]
    more = _some(draw, *draw(st.sampled_from([(None, None), (Weight("w"), Weight("b"))])), draw(_positive))
    return Drawn((X, sizes, *more), None, {"w": sizes, "b": sizes})


def _group_norm(draw: st.DrawFn, shape: Shape) -> Drawn:
    groups = draw(st.sampled_from([1, 2, 4, 8]))
    more = _some(draw, *draw(st.sampled_from([(None, None), (Weight("w"), Weight("b"))])), draw(_positive))
    return Drawn((X, groups, *more), None, {"w": shape[:1], "b": shape[:1]})


def _axis(draw: st.DrawFn, shape: Shape) -> int:
    """Any but the samples'."""
    axis = draw(st.integers(1, len(shape)))
    return axis if draw(_flags) else axis - len(shape) - 1


def _softmax(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, _axis(draw, shape)))


def _mean(draw: st.DrawFn, shape: Shape) -> Drawn:
    # At least one axis stays, or there is no value per sample to go on with.
    axes = draw(st.lists(st.integers(1, len(shape)), min_size=1, max_size=len(shape) - 1, unique=True))
    return Drawn((X, tuple(axes), *_some(draw, draw(_flags))))


def _slice(draw: st.DrawFn, shape: Shape) -> Drawn:
    start, end = draw(st.sampled_from([(0, 3), (1, 2**31), (-3, -1), (0, 9**9), (2, 5)]))
    return Drawn((X, _axis(draw, shape), start, end, *_some(draw, draw(st.integers(1, 2)))))


def _permute(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, (0, *draw(st.permutations(range(1, len(shape) + 1))))))


def _transpose(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, _axis(draw, shape), _axis(draw, shape)))


def _flatten(draw: st.DrawFn, shape: Shape) -> Drawn:
    first = draw(st.integers(1, len(shape)))
    return Drawn((X, first, *_some(draw, draw(st.sampled_from([-1, len(shape)])))))


def _view(draw: st.DrawFn, shape: Shape) -> Drawn:
    size = int(np.prod(shape))
    first = draw(st.sampled_from([BatchSize(), -1]))
    inner = draw(st.sampled_from([(size,), (shape[0], size // shape[0]), (2, size // 2)]))
    return Drawn((X, (first, *inner)))


def _matmul(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, Weight("w")), None, {"w": (shape[-1], 4)})


def _attention(draw: st.DrawFn, shape: Shape) -> Drawn:
    return Drawn((X, X, X))


def _upsample(*, corners: bool) -> Draw:
    def drawn(draw: st.DrawFn, shape: Shape) -> Drawn:
        by_size = draw(_flags)
        size = (draw(st.integers(3, 15)), draw(st.integers(3, 15))) if by_size else None
        factors = None if by_size else (draw(st.floats(0.6, 2.6)), draw(st.floats(0.6, 2.6)))
        return Drawn((X, size, *([draw(_flags)] if corners else []), factors))

    return drawn


IMAGE_CALLS: Mapping[str, Draw] = {
    "aten.adaptive_avg_pool2d.default": _adaptive,
    "aten.add.Tensor": _scaled,
    "aten.avg_pool2d.default": _average_pool,
    "aten.cat.default": _joined,
    "aten.constant_pad_nd.default": _padded,
    "aten.conv2d.default": _convolution,
    "aten.conv_transpose2d.input": _transposed,
    "aten.div.Tensor": _quotient,
    "aten.elu.default": _elu,
    "aten.flatten.using_ints": _flatten,
    "aten.gelu.default": _gelu,
    "aten.group_norm.default": _group_norm,
    "aten.hardsigmoid.default": _plain,
    "aten.hardswish.default": _plain,
    "aten.hardtanh.default": _hardtanh,
    "aten.leaky_relu.default": _leaky,
    "aten.max_pool2d.default": _max_pool,
    "aten.mean.dim": _mean,
    "aten.mul.Tensor": _product,
    "aten.permute.default": _permute,
    "aten.relu.default": _plain,
    "aten.reshape.default": _view,
    "aten.sigmoid.default": _plain,
    "aten.silu.default": _plain,
    "aten.slice.Tensor": _slice,
    "aten.sub.Tensor": _scaled,
    "aten.tanh.default": _plain,
    "aten.transpose.int": _transpose,
    "aten.upsample_bilinear2d.vec": _upsample(corners=True),
    "aten.upsample_nearest2d.vec": _upsample(corners=False),
    "aten.view.default": _view,
}
TOKEN_CALLS: Mapping[str, Draw] = {
    "aten.layer_norm.default": _layer_norm,
    "aten.linear.default": _linear,
    "aten.matmul.default": _matmul,
    "aten.mean.dim": _mean,
    "aten.scaled_dot_product_attention.default": _attention,
    "aten.softmax.int": _softmax,
    "aten.transpose.int": _transpose,
}
CALLS = [
    *((operator, IMAGE, draw) for operator, draw in IMAGE_CALLS.items()),
    *((operator, TOKENS, draw) for operator, draw in TOKEN_CALLS.items()),
]

BEFORE = ("aten.relu.default", "aten.sigmoid.default", "aten.tanh.default", None)
"""What the operator reads: nothing negative, or anything."""


@st.composite
def operator_networks(draw: st.DrawFn, operator: str, shape: Shape, call: Draw) -> TrainedNetwork:
    """A layer, the operator with random arguments, a block whose gate reads what it gives, and a head."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return network_around(call(draw, shape), operator, shape, draw(st.sampled_from(BEFORE)), rng)


def network_around(
    call: Drawn, operator: str, shape: Shape, before: str | None, rng: np.random.Generator
) -> TrainedNetwork:
    """The same with a given call, and an operator `before` it."""
    arrays: dict[str, np.ndarray] = {}
    stem = Builder("stem", (3, *shape[1:]) if len(shape) == 3 else shape, arrays, rng)
    x = stem.conv(X, stem.shape, shape[0], 1)[0] if len(shape) == 3 else stem.linear(X, stem.shape, shape[-1])[0]
    if before is not None:
        stem.add(before, (x,), shape)
    alone = _alone(call, operator, shape, arrays, rng)
    block = Builder("b1", alone.output_shape, arrays, rng)
    _block(block)
    head = Builder("head", alone.output_shape, arrays, rng)
    flat = int(np.prod(head.shape))
    y = head.add("aten.flatten.using_ints", (X, 1), (flat,))
    head.linear(y, (flat,), ANSWERS)
    return TrainedNetwork((stem.done(), alone, block.done(), head.done()), arrays)


def _alone(
    drawn: Drawn, operator: str, shape: Shape, arrays: dict[str, np.ndarray], rng: np.random.Generator
) -> Segment:
    """The call as a segment that always runs; torch says what shape comes of it."""
    for name, sizes in (drawn.weights or {}).items():
        arrays[f"b0.op.{name}"] = rng.normal(size=sizes).astype(np.float32)
    args = tuple(Weight(f"b0.op.{arg.weight}") if isinstance(arg, Weight) else arg for arg in drawn.args)
    used = {arg.weight for arg in args if isinstance(arg, Weight)}
    for name in [name for name in arrays if name.startswith("b0.") and name not in used]:
        del arrays[name]
    node = Node("op", operator, args, shape, drawn.kwargs or {})
    weights = {name: Fp32Weight(torch.from_numpy(arrays[name])) for name in used}
    given = Segment("b0", shape, (node,))
    found = tuple(Interpreter(given, weights)(torch.zeros((2, *shape))).shape[1:])
    return Segment("b0", shape, (Node("op", operator, args, found, drawn.kwargs or {}),), fixed=True)


def _block(build: Builder) -> None:
    """A layer of the input's shape, and its sum with the input."""
    if len(build.shape) == 3:
        x = build.conv(X, build.shape, build.shape[0], 1)[0]
    else:
        x = build.linear(X, build.shape, build.shape[-1])[0]
    build.add("aten.add.Tensor", (x, X), build.shape)
