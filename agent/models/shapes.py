"""The shapes of a network's values on images of another size, by the rules of its operators. No torch here."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.models.errors import BundleError
from agent.models.graph import INPUT, Argument, BatchSize, Node, Ref, Segment, Weight
from agent.models.network import Network, ReshapedNetwork, Shape, blocks_of

_BATCH = 1
"""Shapes are worked out for one sample, with the batch axis in its place."""


def at_resolution(network: Network, resolution: tuple[int, int]) -> ReshapedNetwork:
    """The network for images of that height and width. Raises BundleError saying why it can't run on them.

    Stand-ins and exit heads that don't fit at this size are left out.
    """
    first = network.segments[0].input_shape
    if len(first) != 3:
        raise BundleError(
            f"the model's input has shape {first}, only images (channels, height, width) have a resolution"
        )
    shapes = network.weight_shapes
    given: Shape = (first[0], *resolution)
    segments: list[Segment] = []
    for segment in network.segments:
        segments.append(reshaped(segment, given, shapes))
        given = segments[-1].output_shape
    declared = network.segments[-1].output_shape
    if given != declared:
        raise BundleError(f"the output would have shape {given}, declared is {declared}")
    by_name = {segment.name: segment for segment in segments}
    stand_ins = {
        block: {
            kind: graph
            for kind, original in kinds.items()
            if (graph := _fitting(original, by_name[block].input_shape, shapes, by_name[block].output_shape))
        }
        for block, kinds in network.stand_ins.items()
    }
    heads = {
        block: head
        for block, original in network.exit_heads.items()
        if (head := _fitting(original, by_name[block].input_shape, shapes, declared))
    }
    found = ReshapedNetwork(network, tuple(segments), stand_ins, heads)
    lost = {block.name for block in blocks_of(network)} ^ {block.name for block in blocks_of(found)}
    if lost:
        raise BundleError(f"{sorted(lost)} keep their input's shape at one size only")
    return found


def reshaped(segment: Segment, input_shape: Shape, weight_shapes: Mapping[str, Shape]) -> Segment:
    """The segment on an input of another shape, per sample. Raises BundleError naming a node that doesn't fit."""
    known: dict[str, Shape] = {INPUT: (_BATCH, *input_shape)}
    nodes = []
    for node in segment.nodes:
        try:
            shape = _RULES[node.operator](node, _Known(known, weight_shapes))
            nodes.append(replace(node, shape=shape[1:]))
        except KeyError:
            raise BundleError(
                f"segment {segment.name}, node {node.name}: no shape rule for {node.operator}"
            ) from None
        except (ValueError, TypeError, IndexError) as error:
            raise BundleError(f"segment {segment.name}, node {node.name}: {error}") from None
        known[node.name] = shape
    return replace(segment, input_shape=input_shape, nodes=tuple(nodes))


def _fitting(segment: Segment, given: Shape, weight_shapes: Mapping[str, Shape], output: Shape) -> Segment | None:
    try:
        found = reshaped(segment, given, weight_shapes)
    except BundleError:
        return None
    return found if found.output_shape == output else None


@dataclass(frozen=True, slots=True)
class _Known:
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
                raise TypeError(f"{argument!r} is no tensor")


_Rule = Callable[[Node, _Known], Shape]


def _same(node: Node, known: _Known) -> Shape:
    return known.of(node.args[0])


def _broadcast(node: Node, known: _Known) -> Shape:
    return np.broadcast_shapes(*(known.of(argument) for argument in node.args))


def _convolution(node: Node, known: _Known) -> Shape:
    batch, channels, *sizes = known.of(node.args[0])
    outputs, inputs, *kernel = known.of(node.args[1])
    stride, padding, dilation, groups = _filled(node.args[3:], ((1,), (0,), (1,), 1))
    if channels != inputs * int(_number(groups)):
        raise ValueError(f"{channels} channels come in, its weights are for {inputs * int(_number(groups))}")
    return (batch, outputs, *_windows(sizes, kernel, _pair(stride), _pair(padding), _pair(dilation)))


def _linear(node: Node, known: _Known) -> Shape:
    *outer, size = known.of(node.args[0])
    outputs, inputs = known.of(node.args[1])
    if size != inputs:
        raise ValueError(f"{size} values come in, its weights are for {inputs}")
    return (*outer, outputs)


def _layer_norm(node: Node, known: _Known) -> Shape:
    given, normalized = known.of(node.args[0]), _numbers(node.args[1])
    if list(given[-len(normalized) :]) != normalized:
        raise ValueError(f"normalizes {normalized}, the value has shape {given[1:]}")
    return given


def _adaptive_average(node: Node, known: _Known) -> Shape:
    return (*known.of(node.args[0])[:2], *_pair(node.args[1]))


def _max_pool(node: Node, known: _Known) -> Shape:
    kernel, stride, padding, dilation, ceil = _filled(node.args[1:], (None, (), 0, 1, False))
    return _pooled(known.of(node.args[0]), kernel, stride, padding, dilation, ceil)


def _average_pool(node: Node, known: _Known) -> Shape:
    kernel, stride, padding, ceil = _filled(node.args[1:5], (None, (), 0, False))
    return _pooled(known.of(node.args[0]), kernel, stride, padding, 1, ceil)


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


def _mean(node: Node, known: _Known) -> Shape:
    given = known.of(node.args[0])
    axes = {axis % len(given) for axis in _numbers(node.args[1])}
    if len(node.args) > 2 and node.args[2]:
        return tuple(1 if axis in axes else size for axis, size in enumerate(given))
    return tuple(size for axis, size in enumerate(given) if axis not in axes)


def _flatten(node: Node, known: _Known) -> Shape:
    given = known.of(node.args[0])
    first, last = (int(_number(value)) % len(given) for value in _filled(node.args[1:], (0, -1)))
    return (*given[:first], math.prod(given[first : last + 1]), *given[last + 1 :])


def _view(node: Node, known: _Known) -> Shape:
    given = math.prod(known.of(node.args[0]))
    wanted = node.args[1] if isinstance(node.args[1], tuple) else ()
    sizes = [_BATCH if isinstance(size, BatchSize) else int(_number(size)) for size in wanted]
    rest = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and given % rest == 0:
        sizes[sizes.index(-1)] = given // rest
    if math.prod(sizes) != given or sizes[0] != _BATCH:
        raise ValueError(f"{given} values can't take the shape {tuple(sizes)}")
    return tuple(sizes)


def _permute(node: Node, known: _Known) -> Shape:
    given = known.of(node.args[0])
    return tuple(given[axis] for axis in _numbers(node.args[1]))


def _transpose(node: Node, known: _Known) -> Shape:
    given = list(known.of(node.args[0]))
    first, second = _numbers(node.args[1:])
    given[first], given[second] = given[second], given[first]
    return tuple(given)


def _concatenate(node: Node, known: _Known) -> Shape:
    parts = [known.of(part) for part in node.args[0]] if isinstance(node.args[0], tuple) else []
    axis = int(_number(node.args[1])) % len(parts[0]) if len(node.args) > 1 else 0
    if len({(*part[:axis], *part[axis + 1 :]) for part in parts}) != 1:
        raise ValueError(f"{parts} don't fit together along axis {axis}")
    return (*parts[0][:axis], sum(part[axis] for part in parts), *parts[0][axis + 1 :])


def _attention(node: Node, known: _Known) -> Shape:
    return (*known.of(node.args[0])[:-1], known.of(node.args[2])[-1])


_RULES: Mapping[str, _Rule] = {
    "aten.adaptive_avg_pool2d.default": _adaptive_average,
    "aten.add.Tensor": _broadcast,
    "aten.avg_pool2d.default": _average_pool,
    "aten.cat.default": _concatenate,
    "aten.conv2d.default": _convolution,
    "aten.flatten.using_ints": _flatten,
    "aten.gelu.default": _same,
    "aten.hardtanh.default": _same,
    "aten.layer_norm.default": _layer_norm,
    "aten.linear.default": _linear,
    "aten.max_pool2d.default": _max_pool,
    "aten.mean.dim": _mean,
    "aten.mul.Tensor": _broadcast,
    "aten.permute.default": _permute,
    "aten.relu.default": _same,
    "aten.reshape.default": _view,
    "aten.scaled_dot_product_attention.default": _attention,
    "aten.sigmoid.default": _same,
    "aten.silu.default": _same,
    "aten.transpose.int": _transpose,
    "aten.view.default": _view,
}


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
    raise TypeError(f"{value!r} is no number")
