"""The shape of an operator's result, operator by operator; numbers alone, so that no torch is needed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.models.graph.arguments import Argument, BatchSize, Call, Ref, Shape, Weight

BATCH = 1
"""Shapes are worked out for one sample, with the batch axis in its place."""


@dataclass(frozen=True, slots=True)
class Known:
    """Shapes of the values so far and of the weights, by name."""

    values: Mapping[str, Shape]
    weights: Mapping[str, Shape]

    def of(self, argument: Argument) -> Shape:
        """The shape of a tensor argument, with the batch axis; a number has none."""
        match argument:
            case Ref(name):
                return self.values[name]
            case Weight(name):
                return self.weights[name]
            case bool() | int() | float():
                return ()
            case _:
                raise TypeError(f"{argument!r} is not a tensor")


ShapeRule = Callable[[Call, Known], Shape]
"""Raises ValueError, TypeError, IndexError or ArithmeticError where the arguments don't fit together."""


def same(call: Call, known: Known) -> Shape:
    return known.of(call.args[0])


def broadcast(call: Call, known: Known) -> Shape:
    return _broadcast_shapes(*(known.of(argument) for argument in call.args))


def convolution(call: Call, known: Known) -> Shape:
    batch, channels, *sizes = known.of(call.args[0])
    outputs, inputs, *kernel = known.of(call.args[1])
    stride, padding, dilation, groups = _filled(call.args[3:], ((1,), (0,), (1,), 1))
    if channels != inputs * int(_number(groups)):
        raise ValueError(f"{channels} channels come in, its weights are for {inputs * int(_number(groups))}")
    return (batch, outputs, *_windows(sizes, kernel, _pair(stride), _pair(padding), _pair(dilation)))


def transposed_convolution(call: Call, known: Known) -> Shape:
    batch, _, *sizes = known.of(call.args[0])
    _, outputs, *kernel = known.of(call.args[1])
    stride, padding, more, groups, dilation = _filled(call.args[3:], (1, 0, 0, 1, 1))
    spans = zip(sizes, kernel, _pair(stride), _pair(padding), _pair(more), _pair(dilation), strict=True)
    grown = [
        (size - 1) * step - 2 * pad + spread * (width - 1) + extra + 1
        for size, width, step, pad, extra, spread in spans
    ]
    return (batch, outputs * int(_number(groups)), *grown)


def linear(call: Call, known: Known) -> Shape:
    *outer, size = known.of(call.args[0])
    outputs, inputs = known.of(call.args[1])
    if size != inputs:
        raise ValueError(f"{size} values come in, its weights are for {inputs}")
    return (*outer, outputs)


def layer_norm(call: Call, known: Known) -> Shape:
    given, normalized = known.of(call.args[0]), _numbers(call.args[1])
    if list(given[-len(normalized) :]) != normalized:
        raise ValueError(f"normalizes {normalized}, the value has shape {given[1:]}")
    return given


def adaptive_average(call: Call, known: Known) -> Shape:
    return (*known.of(call.args[0])[:2], *_pair(call.args[1]))


def max_pool(call: Call, known: Known) -> Shape:
    kernel, stride, padding, dilation, ceil = _filled(call.args[1:], (None, (), 0, 1, False))
    return _pooled(known.of(call.args[0]), kernel, stride, padding, dilation, ceil)


def average_pool(call: Call, known: Known) -> Shape:
    kernel, stride, padding, ceil = _filled(call.args[1:5], (None, (), 0, False))
    return _pooled(known.of(call.args[0]), kernel, stride, padding, 1, ceil)


def _pooled(
    given: Shape, kernel: Argument, stride: Argument, padding: Argument, dilation: Argument, ceil: Argument
) -> Shape:
    batch, channels, *sizes = given
    steps = _pair(stride) if stride else _pair(kernel)
    return (
        batch,
        channels,
        *_windows(sizes, _pair(kernel), steps, _pair(padding), _pair(dilation), ceil=bool(ceil)),
    )


def _windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    ceil: bool = False,
) -> list[int]:
    """How many windows fit along each axis."""
    counts = []
    for size, width, step, pad, spread in zip(sizes, kernel, stride, padding, dilation, strict=True):
        room = size + 2 * pad - spread * (width - 1) - 1
        if room < 0:
            raise ValueError(f"a window of {width} doesn't fit into {size} values padded by {pad}")
        count = (-(-room // step) if ceil else room // step) + 1
        # With ceil, a last window must still begin within the values or the padding before them.
        counts.append(count - 1 if ceil and (count - 1) * step >= size + pad else count)
    return counts


def mean(call: Call, known: Known) -> Shape:
    given = known.of(call.args[0])
    axes = {axis % len(given) for axis in _numbers(call.args[1])}
    if len(call.args) > 2 and call.args[2]:
        return tuple(1 if axis in axes else size for axis, size in enumerate(given))
    return tuple(size for axis, size in enumerate(given) if axis not in axes)


def flatten(call: Call, known: Known) -> Shape:
    given = known.of(call.args[0])
    first, last = (int(_number(value)) % len(given) for value in _filled(call.args[1:], (0, -1)))
    return (*given[:first], math.prod(given[first : last + 1]), *given[last + 1 :])


def view(call: Call, known: Known) -> Shape:
    given = math.prod(known.of(call.args[0]))
    wanted = call.args[1] if isinstance(call.args[1], tuple) else ()
    sizes = [BATCH if isinstance(size, BatchSize) else int(_number(size)) for size in wanted]
    rest = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and given % rest == 0:
        sizes[sizes.index(-1)] = given // rest
    if math.prod(sizes) != given or sizes[0] != BATCH:
        raise ValueError(f"{given} values can't take the shape {tuple(sizes)}")
    return tuple(sizes)


def permute(call: Call, known: Known) -> Shape:
    given = known.of(call.args[0])
    return tuple(given[axis] for axis in _numbers(call.args[1]))


def transpose(call: Call, known: Known) -> Shape:
    given = list(known.of(call.args[0]))
    first, second = _numbers(call.args[1:])
    given[first], given[second] = given[second], given[first]
    return tuple(given)


def joined(call: Call, known: Known) -> Shape:
    parts = [known.of(part) for part in call.args[0]] if isinstance(call.args[0], tuple) else []
    axis = int(_number(call.args[1])) % len(parts[0]) if len(call.args) > 1 else 0
    if len({(*part[:axis], *part[axis + 1 :]) for part in parts}) != 1:
        raise ValueError(f"{parts} don't fit together along axis {axis}")
    return (*parts[0][:axis], sum(part[axis] for part in parts), *parts[0][axis + 1 :])


def embedded(call: Call, known: Known) -> Shape:
    _, width = known.of(call.args[0])
    return (*known.of(call.args[1]), width)


def matmul(call: Call, known: Known) -> Shape:
    first, second = (known.of(argument) for argument in call.args)
    if first[-1] != second[-2]:
        raise ValueError(f"{first} and {second} can't be multiplied")
    return (*_broadcast_shapes(first[:-2], second[:-2]), first[-2], second[-1])


def sliced(call: Call, known: Known) -> Shape:
    given = list(known.of(call.args[0]))
    axis, start, end, step = (int(_number(value)) for value in _filled(call.args[1:], (0, 0, 2**31, 1)))
    given[axis] = len(range(*slice(start, end, step).indices(given[axis])))
    return tuple(given)


def padded(call: Call, known: Known) -> Shape:
    given = list(known.of(call.args[0]))
    # Torch names pairs of sizes from the last axis on.
    pads = _numbers(call.args[1])
    for index, (front, behind) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        given[-1 - index] += front + behind
    return tuple(given)


def upsample(call: Call, known: Known) -> Shape:
    """By the size that is asked for, else by the factors, which stand last."""
    *outer, height, width = known.of(call.args[0])
    wanted, factors = call.args[1], call.args[-1]
    if wanted is not None:
        return (*outer, *_pair(wanted))
    if not isinstance(factors, tuple):
        raise TypeError(f"{factors!r} are not factors")
    grown = (size * _number(factor) for size, factor in zip((height, width), factors, strict=True))
    return (*outer, *(math.floor(size) for size in grown))


def attention(call: Call, known: Known) -> Shape:
    return (*known.of(call.args[0])[:-1], known.of(call.args[2])[-1])


def _broadcast_shapes(*shapes: Shape) -> Shape:
    """As NumPy and torch do: from the last axis on, sizes of 1 are repeated."""
    rank = max(map(len, shapes))
    axes = [
        {*sizes} - {1} for sizes in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True)
    ]
    if any(len(sizes) > 1 for sizes in axes):
        raise ValueError(f"{' and '.join(map(str, shapes))} can't be broadcast together")
    return tuple(next(iter(sizes), 1) for sizes in axes)


def _filled(arguments: Sequence[Argument], defaults: Sequence[Argument]) -> tuple[Argument, ...]:
    return (*arguments, *defaults[len(arguments) :])


def _pair(value: Argument) -> list[int]:
    numbers = _numbers(value)
    return numbers * 2 if len(numbers) == 1 else numbers


def _numbers(value: Argument) -> list[int]:
    if isinstance(value, tuple):
        return [int(_number(item)) for item in value]
    return [int(_number(value))]


def _number(value: Argument) -> float:
    if isinstance(value, int | float):
        return value
    raise TypeError(f"{value!r} is not a number")
