"""Images and signals that are several to a sample: frames of a film, windows, crops of one picture.

What treats each channel by itself takes all of them as the channels of one image. Convolutions take them one below
the other, with rows between them where a kernel would reach from one into the next.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, fx

from tidegate.models.graph import Argument, Ref, Weight
from tidegate.models.importing.lowering import norms, rearranged, signals, windowed
from tidegate.models.importing.lowering.layouts.layout import Layout, layout_of, refused, settled, sizes_of
from tidegate.models.importing.lowering.layouts.lifted import called, stand_in
from tidegate.models.importing.lowering.reader import Laid, Reader, Rule, Value, call
from tidegate.models.importing.lowering.signals import beside

PERMUTE, RESHAPE, PAD = "aten.permute.default", "aten.reshape.default", "aten.constant_pad_nd.default"
_SIGNAL = 3
"""Axes of signals, with the samples'; images have one more."""


def _images(reader: Reader, node: fx.Node, source: fx.Node) -> tuple[Layout, int] | None:
    """Laid out as (samples, several, channels, height, width), and how many; None where axes lie otherwise."""
    layout = layout_of(reader, node, source)
    laid = layout.in_order()
    if len(laid.groups) not in {_SIGNAL - 1, _SIGNAL, _SIGNAL + 1} or 0 not in laid.groups[0]:
        return None
    if any(len(group) != 1 for group in laid.groups[1:]):
        return None
    return layout, len(laid.groups[0]) - 1


def _several(laid: Laid, outer: int) -> int:
    count = 1
    for size in laid.shape[:outer]:
        count *= size
    return count


def _by_channel(own: Rule) -> Rule:
    """Of each channel by itself: all of a sample's are one image's."""

    def rule(reader: Reader, node: fx.Node) -> Value:
        given = call(node)
        name = "input" if "input" in given else "self"
        found = _images(reader, node, given[name])
        if found is None:
            return refused(reader, node)
        layout, outer = found
        laid = layout.laid
        count = _several(laid, outer)
        shape = (count * laid.shape[outer], *laid.shape[outer + 1 :])
        graph = fx.Graph()
        flat = layout.add(RESHAPE, (laid.ref, (-1, *shape)), shape)
        inputs = {given[name].name: stand_in(reader, node, graph, flat, shape)}
        arguments = dict(given)
        if "num_groups" in given:
            arguments["num_groups"] = count * int(given["num_groups"])
            for each in ("weight", "bias"):
                if given[each] is not None:
                    made = _repeated(reader, node, graph, given[each], count)
                    inputs[given[each].name] = made
        again = called(reader, node, graph, arguments, lambda each: inputs[each.name])
        reader.values[again.name] = own(reader, again)
        value = reader.argument(again)
        _, *spatial = reader.shape(again)
        channels = sizes_of(node)[1]
        apart = (*laid.shape[:outer], channels, *spatial)
        back = Layout(reader, node, laid, "_back").add(RESHAPE, (value, (-1, *apart)), apart)
        return settled(reader, node, Laid(back, apart, _grouped(laid, outer, len(spatial))))

    return rule


def _grouped(laid: Laid, outer: int, spatial: int) -> tuple[tuple[int, ...], ...]:
    return (laid.groups[0], *((outer + 1 + axis,) for axis in range(spatial + 1)))


def _repeated(reader: Reader, node: fx.Node, graph: fx.Graph, source: fx.Node, count: int) -> fx.Node:
    weight = reader.argument(source)
    if not isinstance(weight, Weight):
        raise reader.refusal(node, "a norm whose scale is not a weight")
    made = graph.create_node("placeholder", f"{source.name}_repeated")
    made.meta["val"] = reader.tensors[weight.weight].repeat(count)
    reader.values[made.name] = reader.constant(node, source.name, made.meta["val"])
    return made


def _convolution(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    found, weight = _images(reader, node, given["input"]), reader.values.get(given["weight"].name)
    if not isinstance(weight, Weight):
        raise reader.refusal(
            node, "a kernel that is computed from the input has no form in a graph; keep it fixed"
        )
    if found is None or isinstance(given["padding"], str):
        return refused(reader, node)
    layout, outer = found
    laid = layout.laid
    count = _several(laid, outer)
    channels, *sizes = laid.shape[outer:]
    is_signal = len(sizes) == 1
    height, width = (1, sizes[0]) if is_signal else sizes
    kernel = reader.tensors[weight.weight]
    if is_signal and kernel.ndim == _SIGNAL:
        kernel = reader.tensors[weight.weight] = kernel.unsqueeze(2)
    stride, padding, dilation = (
        beside(given[name], 0 if name == "padding" else 1) if is_signal else _two(given[name])
        for name in ("stride", "padding", "dilation")
    )
    rows, columns = (
        (size + 2 * pad - gap * (reach - 1) - 1) // step + 1
        for size, pad, gap, reach, step in zip(
            (height, width), padding, dilation, kernel.shape[2:], stride, strict=True
        )
    )
    reach = dilation[0] * (kernel.shape[2] - 1) + 1
    # Each image begins where a stride does, and has its own padding above and below.
    tall = -(-(height + 2 * padding[0]) // stride[0]) * stride[0]
    x, shape = laid.ref, (count * channels, height, width)
    x = layout.add(RESHAPE, (x, (-1, *shape)), shape)
    if tall > height:
        shape = (count * channels, tall, width)
        pads = (0, 0, padding[0], tall - height - padding[0])
        x = layout.add(PAD, (x, pads, 0.0), shape)
    x = _stacked(layout, x, count, channels, tall, width)
    below = max(0, reach - stride[0])
    if below:
        x = layout.add(PAD, (x, (0, 0, 0, below), 0.0), (channels, count * tall + below, width))
    out, high = kernel.shape[0], tall // stride[0]
    args: tuple[Argument, ...] = (x, weight, reader.argument(given["bias"]), stride, (0, padding[1]), dilation)
    x = layout.add("aten.conv2d.default", (*args, int(given["groups"])), (out, count * high, columns))
    apart = (*laid.shape[:outer], out, *([columns] if is_signal else [rows, columns]))
    x = _unstacked(layout, x, count, out, high, columns, rows)
    x = layout.add(RESHAPE, (x, (-1, *apart)), apart)
    return settled(reader, node, Laid(x, apart, _grouped(laid, outer, len(sizes))))


def _transposed(reader: Reader, node: fx.Node) -> Value:
    """The same with zeros between images, into which the last rows of each reach."""
    given = call(node)
    found, weight = _images(reader, node, given["input"]), reader.argument(given["weight"])
    if found is None or not isinstance(weight, Weight):
        return refused(reader, node)
    layout, outer = found
    laid = layout.laid
    count = _several(laid, outer)
    channels, *sizes = laid.shape[outer:]
    is_signal = len(sizes) == 1
    height, width = (1, sizes[0]) if is_signal else sizes
    kernel = reader.tensors[weight.weight]
    if is_signal and kernel.ndim == _SIGNAL:
        kernel = reader.tensors[weight.weight] = kernel.unsqueeze(2)
    stride, padding, more, dilation = (
        beside(given[name], 1 if name in {"stride", "dilation"} else 0) if is_signal else _two(given[name])
        for name in ("stride", "padding", "output_padding", "dilation")
    )
    _, out, *outside = sizes_of(node)
    rows, columns = (1, outside[0]) if is_signal else outside
    reach = dilation[0] * (kernel.shape[2] - 1) + 1
    tall = -(-max((height - 1) * stride[0] + reach, padding[0] + rows) // stride[0])
    if reach < stride[0]:
        return refused(reader, node)
    x, shape = laid.ref, (count * channels, height, width)
    x = layout.add(RESHAPE, (x, (-1, *shape)), shape)
    if tall > height:
        x = layout.add(PAD, (x, (0, 0, 0, tall - height), 0.0), (count * channels, tall, width))
    x = _stacked(layout, x, count, channels, tall, width)
    high = count * tall * stride[0] + reach - stride[0]
    args: tuple[Argument, ...] = (x, weight, reader.argument(given["bias"]), stride, (0, padding[1]), (0, more[1]))
    args = (*args, int(given["groups"]), dilation)
    x = layout.add("aten.conv_transpose2d.input", args, (out, high, columns))
    if reach > stride[0]:
        high = count * tall * stride[0]
        x = layout.add("aten.slice.Tensor", (x, 2, 0, high), (out, high, columns))
    apart = (*laid.shape[:outer], out, *outside)
    x = _unstacked(layout, x, count, out, high // count, columns, rows, padding[0])
    x = layout.add(RESHAPE, (x, (-1, *apart)), apart)
    return settled(reader, node, Laid(x, apart, _grouped(laid, outer, len(sizes))))


def _stacked(layout: Layout, x: Ref, count: int, channels: int, height: int, width: int) -> Ref:
    """(several * channels, height, width) to (channels, several * height, width)."""
    apart = (count, channels, height, width)
    x = layout.add(RESHAPE, (x, (-1, *apart)), apart)
    x = layout.add(PERMUTE, (x, (0, 2, 1, 3, 4)), (channels, count, height, width))
    return layout.add(RESHAPE, (x, (-1, channels, count * height, width)), (channels, count * height, width))


def _unstacked(
    layout: Layout, x: Ref, count: int, channels: int, high: int, width: int, rows: int, first: int = 0
) -> Ref:
    """Back again, with some of the rows of each image: (several * channels, rows, width)."""
    x = layout.add(RESHAPE, (x, (-1, channels, count, high, width)), (channels, count, high, width))
    x = layout.add(PERMUTE, (x, (0, 2, 1, 3, 4)), (count, channels, high, width))
    x = layout.add(RESHAPE, (x, (-1, count * channels, high, width)), (count * channels, high, width))
    if rows == high:
        return x
    args = (x, 2, first, first + rows)
    return layout.add("aten.slice.Tensor", args, (count * channels, rows, width))


def _two(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _batch_norm(reader: Reader, node: fx.Node) -> Value:
    """A scale and a shift along the second axis."""
    given = call(node)
    layout = layout_of(reader, node, given["input"])
    laid = layout.in_order()
    if len(laid.groups[1]) != 1 or 0 in laid.groups[1]:
        return refused(reader, node)
    scale, shift = norms.scale_and_shift(reader, node)
    if norms.into_layer(reader, given["input"], scale, shift):
        return settled(reader, node, laid)
    x = layout.add("aten.mul.Tensor", (laid.ref, _beside(reader, node, "scale", scale, laid)), laid.shape)
    x = layout.add("aten.add.Tensor", (x, _beside(reader, node, "shift", shift, laid)), laid.shape)
    return settled(reader, node, Laid(x, laid.shape, laid.groups))


def _beside(reader: Reader, node: fx.Node, name: str, values: Tensor, laid: Laid) -> Weight:
    shape = [1] * (len(laid.shape) + 1)
    shape[laid.groups[1][0]] = -1
    return reader.constant(node, name, values.reshape(shape))


_OWN: Mapping[str, Rule] = {
    **windowed.RULES,
    **signals.RULES,
    "aten.pixel_shuffle.default": rearranged.RULES["aten.pixel_shuffle.default"],
    "aten.instance_norm.default": norms.RULES["aten.instance_norm.default"],
    **dict.fromkeys(
        (
            "aten.max_pool2d.default",
            "aten.adaptive_avg_pool2d.default",
            "aten.upsample_bilinear2d.vec",
            "aten.upsample_nearest2d.vec",
            "aten.constant_pad_nd.default",
            "aten.group_norm.default",
        ),
        Reader.keep,
    ),
}
_CONVOLUTIONS: Mapping[str, Rule] = {
    "aten.conv2d.default": _convolution,
    "aten.conv1d.default": _convolution,
    "aten.conv_transpose2d.input": _transposed,
    "aten.conv_transpose1d.default": _transposed,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "aten.batch_norm.default": _batch_norm,
}
RULES: Mapping[str, Rule] = {
    **{name: _by_channel(own) for name, own in _OWN.items() if name not in _CONVOLUTIONS},
    **_CONVOLUTIONS,
}
