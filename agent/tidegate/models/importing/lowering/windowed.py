"""Convolutions, pools, paddings and interpolations with arguments that a graph has no operator for."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from tidegate.models.importing.lowering.reader import Reader, Rule, Value, call
from tidegate.models.importing.lowering.writer import MATMUL, PERMUTE, Writer, rule, with_size


def interpolated(write: Writer, _given: dict[str, Any]) -> Value:
    """Rows, then columns by a matrix each: whatever is linear along each axis."""
    node = write.node
    source = node.args[0]
    if not isinstance(source, fx.Node):
        raise write.reader.refusal(node, "of a constant")
    shape, wanted = write.shape(source), write.reader.shape(node)
    x = write.read(source)
    if len(shape) != 3:
        raise write.reader.refusal(node, "of something else than images")
    columns = _matrix(node, shape[1:], 1)
    x = write.add(MATMUL, x, write.constant("columns", columns), shape=(*shape[:2], wanted[2]))
    turned = (shape[0], wanted[2], shape[1])
    x = write.add(PERMUTE, x, (0, 1, 3, 2), shape=turned)
    rows = _matrix(node, shape[1:], 0)
    x = write.add(MATMUL, x, write.constant("rows", rows), shape=(*turned[:2], wanted[1]))
    return write.add(PERMUTE, x, (0, 1, 3, 2))


def _matrix(node: fx.Node, old: tuple[int, ...], axis: int) -> Tensor:
    """(old size, new size) along one axis, by asking torch about one row or column of each kind."""
    size = old[axis]
    images = torch.zeros(size, 1, *old)
    for place in range(size):
        images[place, 0].select(axis, place)[...] = 1.0
    function: Callable[..., Tensor] = node.target  # type: ignore[assignment]  # of call_function it is one
    grown = function(images, *node.args[1:], **node.kwargs)
    return grown[:, 0].select(2 - axis, 0).contiguous()


def unfolded(write: Writer, given: dict[str, Any]) -> Value:
    """Windows as channels: a convolution that picks each of a window's values."""
    kernel, channels = given["kernel_size"], write.shape(given["self"])[0]
    places = math.prod(kernel)
    picks = torch.eye(places).reshape(places, 1, *kernel).repeat(channels, 1, 1, 1)
    sizes = [
        (size + 2 * pad - spread * (width - 1) - 1) // step + 1
        for size, pad, spread, width, step in zip(
            write.shape(given["self"])[1:],
            given["padding"],
            given["dilation"],
            kernel,
            given["stride"],
            strict=True,
        )
    ]
    window = (tuple(given["stride"]), tuple(given["padding"]), tuple(given["dilation"]), channels)
    x = write.add(
        "aten.conv2d.default",
        write.read(given["self"]),
        write.constant("picks", picks),
        None,
        *window,
        shape=(channels * places, *sizes),
    )
    return write.add("aten.view.default", x, (-1, *write.reader.shape(write.node)))


def folded(write: Writer, given: dict[str, Any]) -> Value:
    """Windows back into an image, summed where they overlap: a transposed convolution puts each in its place."""
    kernel, stride, padding, dilation = (
        tuple(int(each) for each in given[name]) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    channels, height, width = write.reader.shape(write.node)
    places = math.prod(kernel)
    down, across = (
        (size + 2 * pad - gap * (reach - 1) - 1) // step + 1
        for size, pad, gap, reach, step in zip((height, width), padding, dilation, kernel, stride, strict=True)
    )
    x = write.read(given["self"])
    if kernel == stride and padding == (0, 0) and dilation == (1, 1):
        apart, turned = (channels, *kernel, down, across), (channels, down, kernel[0], across, kernel[1])
        x = write.add("aten.reshape.default", x, (-1, *apart), shape=apart)
        x = write.add(PERMUTE, x, (0, 1, 4, 2, 5, 3), shape=turned)
        if (down * kernel[0], across * kernel[1]) == (height, width):
            return write.add("aten.reshape.default", x, (-1, channels, height, width))
    apart = (channels * places, down, across)
    x = write.add("aten.view.default", write.read(given["self"]), (-1, *apart), shape=apart)
    puts = torch.eye(places).reshape(places, 1, *kernel).repeat(channels, 1, 1, 1)
    more = tuple(
        size + 2 * pad - (count - 1) * step - gap * (reach - 1) - 1
        for size, pad, count, step, gap, reach in zip(
            (height, width), padding, (down, across), stride, dilation, kernel, strict=True
        )
    )
    window = (stride, padding, more, channels, dilation)
    return write.add("aten.conv_transpose2d.input", x, write.constant("puts", puts), None, *window)


def average_pool(reader: Reader, node: fx.Node) -> Value:
    """As it is; a window beyond all of the image (ceil_mode) is the mean of the image."""
    given = call(node)
    shape = reader.shape(node)
    sizes = reader.shape(given["self"])
    kernel = (
        [given["kernel_size"]] * 2 if isinstance(given["kernel_size"], int) else list(given["kernel_size"]) * 2
    )
    if (
        shape[1:] != (1, 1)
        or not given["ceil_mode"]
        or any(a <= b for a, b in zip(kernel, sizes[1:], strict=False))
    ):
        return reader.keep(node)
    return reader.add(node, "aten.mean.dim", (reader.argument(given["self"]), (2, 3), True), shape)


def padded(write: Writer, given: dict[str, Any]) -> Value:
    """With one number, or with the values at the edge, or mirrored there."""
    mode, source = given.get("mode", "constant"), given["self"]
    pads = [int(each) for each in given["pad" if "pad" in given else "padding"]]
    shape = list(write.shape(source))
    x = write.read(source)
    if mode == "constant":
        return write.add("aten.constant_pad_nd.default", x, tuple(pads), float(given.get("value") or 0.0))
    for index, (front, behind) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        axis = len(shape) - index
        size = shape[axis - 1]
        before = [0] * front if mode == "replicate" else list(range(front, 0, -1))
        after = [size - 1] * behind if mode == "replicate" else list(range(size - 2, size - 2 - behind, -1))
        if mode == "circular":
            before, after = list(range(size - front, size)), list(range(behind))
        pieces = [*((place, place + 1) for place in before), (0, size), *((place, place + 1) for place in after)]
        cuts = tuple(
            x
            if (start, end) == (0, size)
            else write.add(
                "aten.slice.Tensor", x, axis, start, end, shape=with_size(tuple(shape), axis, end - start)
            )
            for start, end in pieces
        )
        shape[axis - 1] = size + front + behind
        if len(cuts) > 1:
            x = write.add("aten.cat.default", cuts, axis, shape=tuple(shape))
    return x


def edge(mode: str) -> Rule:
    """A pad whose way is in the operator's name."""
    return rule(lambda write, given: padded(write, {**given, "mode": mode}))


def largest_pool(write: Writer, given: dict[str, Any]) -> Value:
    """A max pool whose indices nobody reads."""
    args = (given["kernel_size"], given["stride"] or given["kernel_size"], given["padding"], given["dilation"])
    window = tuple(tuple(each) if isinstance(each, list | tuple) else each for each in args)
    value = write.node.meta["val"]
    shape = tuple(int(size) for size in value[0].shape[1:])
    ceil = bool(given["ceil_mode"])
    return write.add("aten.max_pool2d.default", write.read(given["self"]), *window, ceil, shape=shape)


def adaptive_largest(write: Writer, given: dict[str, Any]) -> Value:
    """To one value, or by windows of one size."""
    value = write.node.meta["val"]
    shape = tuple(int(size) for size in value[0].shape[1:])
    source = write.shape(given["self"])
    if any(old % new for old, new in zip(source[1:], shape[1:], strict=True)):
        return _by_rows_and_columns(write, given["self"], shape)
    kernel = tuple(old // new for old, new in zip(source[1:], shape[1:], strict=True))
    return write.add("aten.max_pool2d.default", write.read(given["self"]), kernel, kernel, shape=shape)


def _by_rows_and_columns(write: Writer, source: fx.Node, wanted: tuple[int, ...]) -> Value:
    """Windows of different sizes: the largest of each, along one axis after the other."""
    x, shape = write.read(source), write.shape(source)
    for axis in (2, 3):
        old, new = shape[axis - 1], wanted[axis - 1]
        shape, cut = with_size(shape, axis, new), shape
        parts = []
        for place in range(new):
            start, end = place * old // new, -(-(place + 1) * old // new)
            window = write.add("aten.slice.Tensor", x, axis, start, end, shape=with_size(cut, axis, end - start))
            parts.append(write.add("aten.amax.default", window, (axis,), True, shape=with_size(cut, axis, 1)))
        x = write.add("aten.cat.default", tuple(parts), axis, shape=shape) if new > 1 else parts[0]
    return x


def same_padding(write: Writer, given: dict[str, Any]) -> Value:
    """A convolution whose padding is said by a word."""
    source, weight = given["input"], write.tensor(given["weight"])
    if weight is None:
        raise write.reader.refusal(write.node, "a convolution's kernel must be a weight")
    dilation = [int(each) for each in given["dilation"]]
    reach = [spread * (width - 1) for spread, width in zip(dilation, weight.shape[2:], strict=True)]
    front, behind = ([each // 2 for each in reach], [each - each // 2 for each in reach])
    if given["padding"] == "valid":
        front = behind = [0] * len(reach)
    x = write.read(source)
    if front != behind:
        shape = list(write.shape(source))
        pads = [amount for pair in zip(reversed(front), reversed(behind), strict=True) for amount in pair]
        grown = (shape[0], *(s + f + b for s, f, b in zip(shape[1:], front, behind, strict=True)))
        x = write.add("aten.constant_pad_nd.default", x, tuple(pads), 0.0, shape=grown)
        front = [0] * len(reach)
    window = (tuple(given["stride"]), tuple(front), tuple(dilation), int(given["groups"]))
    bias = write.read(given["bias"])
    return write.add("aten.conv2d.default", x, write.read(given["weight"]), bias, *window)


RULES: dict[str, Rule] = {
    "aten.upsample_bicubic2d.vec": rule(interpolated),
    "aten._upsample_bilinear2d_aa.vec": rule(interpolated),
    "aten._upsample_bicubic2d_aa.vec": rule(interpolated),
    "aten.im2col.default": rule(unfolded),
    "aten.col2im.default": rule(folded),
    "aten.avg_pool2d.default": average_pool,
    "aten.pad.default": rule(padded),
    "aten.reflection_pad2d.default": edge("reflect"),
    "aten.replication_pad2d.default": edge("replicate"),
    "aten.max_pool2d_with_indices.default": rule(largest_pool),
    "aten.adaptive_max_pool2d.default": rule(adaptive_largest),
    "aten.conv2d.padding": rule(same_padding),
}
