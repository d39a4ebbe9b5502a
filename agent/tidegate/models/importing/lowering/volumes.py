"""Convolutions and pools over films and volumes, (channels, depth, height, width), image by image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from tidegate.models.graph import Argument, Weight
from tidegate.models.importing.lowering.layouts import images
from tidegate.models.importing.lowering.layouts.lifted import stand_in
from tidegate.models.importing.lowering.reader import Laid, Rule, Value
from tidegate.models.importing.lowering.writer import ADD, MUL, PERMUTE, Writer, rule

_RESHAPE, _SLICE, _PAD = "aten.reshape.default", "aten.slice.Tensor", "aten.constant_pad_nd.default"


def convolution(write: Writer, given: dict[str, Any]) -> Value:
    """What a kernel sees along the depth as channels of one image; then a convolution of each image."""
    reader, node = write.reader, write.node
    weight = reader.argument(given["weight"])
    if not isinstance(weight, Weight) or isinstance(given["padding"], str):
        raise reader.refusal(node, "a convolution's kernel must be a weight, and its padding numbers")
    kernel = reader.tensors[weight.weight]
    channels, _, height, width = write.shape(given["input"])
    stride, padding, dilation = (_three(given[name]) for name in ("stride", "padding", "dilation"))
    deep, reach = reader.shape(node)[1], kernel.shape[2]
    parts = _along_depth(write, given["input"], deep, reach, stride[0], padding[0], dilation[0])
    one, seen = (channels, 1, deep, height, width), (channels, reach, deep, height, width)
    x = parts[0]
    if reach > 1:
        apart = tuple(write.add(_RESHAPE, each, (-1, *one), shape=one) for each in parts)
        x = write.add("aten.cat.default", apart, 2, shape=seen)
        x = write.add(_RESHAPE, x, (-1, channels * reach, *seen[2:]), shape=(channels * reach, *seen[2:]))
    # (samples, channels, depth, ...) as an exported value of (samples * depth, channels, height, width)
    laid = Laid(x, (channels * reach, deep, height, width), ((0, 2), (1,), (3,), (4,)))
    graph = fx.Graph()
    image = stand_in(reader, node, graph, x, (channels * reach, deep, height, width))
    again = graph.create_node("call_function", torch.ops.aten.conv2d.default, name=node.name)
    flat = reader.constant(node, "weight", kernel.reshape(kernel.shape[0], -1, *kernel.shape[3:]))
    kernels = graph.create_node("placeholder", f"{node.name}_kernel")
    reader.values[kernels.name], reader.values[image.name] = flat, laid
    again.args = (image, kernels, given["bias"], stride[1:], padding[1:], dilation[1:], int(given["groups"]))
    again.meta = dict(node.meta)
    out, _, rows, columns = reader.shape(node)
    with node.meta["val"].fake_mode:
        again.meta["val"] = torch.empty((reader.samples * deep, out, rows, columns))
    found = images.RULES["aten.conv2d.default"](reader, again)
    if not isinstance(found, Laid):
        raise reader.refusal(node, "could not be laid out")
    return reader.add(node, PERMUTE, (found.ref, (0, 2, 1, 3, 4)), (out, deep, rows, columns), "_volume")


def _along_depth(
    write: Writer,
    source: fx.Node,
    deep: int,
    reach: int,
    stride: int,
    padding: int,
    gap: int,
    filling: float = 0.0,
) -> list[Argument]:
    """For each place of a kernel along the depth, what it meets: (channels, deep, height, width)."""
    channels, depth, height, width = write.shape(source)
    x = write.read(source)
    if padding:
        flat, grown = (channels, depth, height * width), (channels, depth + 2 * padding, height * width)
        x = write.add(_RESHAPE, x, (-1, *flat), shape=flat)
        x = write.add(_PAD, x, (0, 0, padding, padding), filling, shape=grown)
        x = write.add(_RESHAPE, x, (-1, *grown[:2], height, width), shape=(*grown[:2], height, width))
    if reach == deep == depth + 2 * padding == 1:
        return [x]
    shape = (channels, deep, height, width)
    return [
        write.add(_SLICE, x, 2, place * gap, place * gap + (deep - 1) * stride + 1, stride, shape=shape)
        for place in range(reach)
    ]


def _pool(operator: Any, *, largest: bool) -> Rule:
    """Each image by itself, then over what a window sees along the depth."""

    def write_pool(write: Writer, given: dict[str, Any]) -> Value:
        reader, node = write.reader, write.node
        kernel = _three(given["kernel_size"])
        stride = _three(given["stride"] or given["kernel_size"])
        padding = _three(given["padding"])
        if given["ceil_mode"] or any(each != 1 for each in given.get("dilation") or ()):
            raise reader.refusal(
                node, "a pool over volumes with gaps, or beyond the edge (ceil_mode); leave that out"
            )
        if not largest and padding[0] and not given["count_include_pad"]:
            raise reader.refusal(node, "an average that leaves out what is beyond the edge along the depth")
        value = node.meta["val"]
        value = value[0] if isinstance(value, tuple | list) else value
        channels, deep, rows, columns = (int(size) for size in value.shape[1:])
        filling = -1e30 if largest else 0.0
        parts = _along_depth(write, given["self"], deep, kernel[0], stride[0], padding[0], 1, filling)
        x: Argument = parts[0]
        for part in parts[1:]:
            operation = "aten.maximum.default" if largest else ADD
            x = write.add(operation, x, part, shape=(channels, deep, *write.shape(given["self"])[2:]))
        if not largest and kernel[0] > 1:
            x = write.add(MUL, x, 1 / kernel[0], shape=(channels, deep, *write.shape(given["self"])[2:]))
        if kernel[1:] == stride[1:] == (1, 1):
            return x
        shape = (channels * deep, *write.shape(given["self"])[2:])
        x = write.add(_RESHAPE, x, (-1, *shape), shape=shape)
        window = (kernel[1:], stride[1:], padding[1:])
        more = () if largest else (False, bool(given["count_include_pad"]))
        x = write.add(operator, x, *window, *more, shape=(channels * deep, rows, columns))
        return write.add(_RESHAPE, x, (-1, channels, deep, rows, columns), shape=(channels, deep, rows, columns))

    return rule(write_pool)


def whole_average(write: Writer, given: dict[str, Any]) -> Value:
    """To one value, or to one along the depth, height and width each that is 1 or as it was."""
    shape, wanted = write.shape(given["self"]), write.reader.shape(write.node)
    axes = tuple(place for place in (2, 3, 4) if wanted[place - 1] == 1)
    if any(new not in {old, 1} for old, new in zip(shape, wanted, strict=True)):
        raise write.reader.refusal(write.node, f"an average over windows, from {shape[1:]} to {wanted[1:]}")
    return write.add("aten.mean.dim", write.read(given["self"]), axes, True)


def _three(value: int | Sequence[int]) -> tuple[int, int, int]:
    first, *rest = (value,) * 3 if isinstance(value, int) else tuple(value) * (3 if len(value) == 1 else 1)
    return first, rest[0], rest[1]


RULES: dict[str, Rule] = {
    "aten.conv3d.default": rule(convolution),
    "aten.max_pool3d.default": _pool("aten.max_pool2d.default", largest=True),
    "aten.max_pool3d_with_indices.default": _pool("aten.max_pool2d.default", largest=True),
    "aten.avg_pool3d.default": _pool("aten.avg_pool2d.default", largest=False),
    "aten.adaptive_avg_pool3d.default": rule(whole_average),
}
