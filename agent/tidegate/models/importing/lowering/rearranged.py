"""Values repeated, picked, turned around and put into one another, by cutting, joining and permuting."""

from typing import Any

import torch
from torch import Tensor, fx

from tidegate.models.graph import Argument, Ref
from tidegate.models.importing.lowering.reader import Rule, Value
from tidegate.models.importing.lowering.writer import MUL, PERMUTE, Writer, rule, with_size


def repeated(write: Writer, given: dict[str, Any]) -> Value:
    """Along axes of size 1, times ones."""
    source, wanted = given["self"], write.reader.shape(write.node)
    if write.shape(source) == wanted:
        return write.read(source)
    return write.add(MUL, write.read(source), write.constant("ones", torch.ones(1, *wanted)))


def tiled(write: Writer, given: dict[str, Any]) -> Value:
    """Several times behind each other along one axis after the other."""
    source = given["self"]
    shape = list(write.shape(source))
    times = list(given["repeats"])
    if len(times) != len(shape) + 1 or times[0] != 1:
        raise write.reader.refusal(write.node, "repeats the samples; allowed is along other axes")
    x = write.read(source)
    for axis, count in enumerate(times[1:], start=1):
        if count > 1:
            shape[axis - 1] *= count
            x = write.add("aten.cat.default", (x,) * count, axis, shape=tuple(shape))
    return x


def stacked(write: Writer, given: dict[str, Any]) -> Value:
    """Each with an axis more, and joined along it."""
    shape = write.reader.shape(write.node)
    axis = given["dim"] % (len(shape) + 1)
    if axis == 0:
        raise write.reader.refusal(write.node, "stacks along the samples' axis; they must stay first")
    one = (*shape[: axis - 1], 1, *shape[axis:])
    parts = tuple(
        write.add("aten.view.default", write.read(each), (-1, *one), shape=one) for each in given["tensors"]
    )
    return write.add("aten.cat.default", parts, axis)


def rolled(write: Writer, given: dict[str, Any]) -> Value:
    shape = write.reader.shape(write.node)
    x = write.read(given["self"])
    for shift, dim in zip(given["shifts"], given["dims"], strict=True):
        axis = dim % (len(shape) + 1)
        if axis == 0:
            raise write.reader.refusal(write.node, "rolls the samples")
        size = shape[axis - 1]
        cut = -shift % size
        if cut:
            ends = [(cut, size), (0, cut)]
            parts = tuple(
                write.add("aten.slice.Tensor", x, axis, start, end, shape=with_size(shape, axis, end - start))
                for start, end in ends
            )
            x = write.add("aten.cat.default", parts, axis)
    return x


def picked(write: Writer, given: dict[str, Any]) -> Value:
    """Places along an axis by known indices: runs of neighbours, joined."""
    known = write.tensor(given["index"])
    if known is None:
        raise write.reader.refusal(write.node, "takes an index that depends on the input's values")
    return _runs(write, given["self"], given["dim"], known)


def indexed(write: Writer, given: dict[str, Any]) -> Value:
    """By known indices along one axis."""
    asked = [(axis, each) for axis, each in enumerate(given["indices"]) if each is not None]
    known = write.tensor(asked[0][1])
    if len(asked) != 1 or known is None or known.dtype == torch.bool:
        raise write.reader.refusal(write.node, "takes indices along several axes, or such as depend on the input")
    found = _runs(write, given["self"], asked[0][0], known)
    return (
        found if known.ndim == 1 else write.add("aten.view.default", found, (-1, *write.reader.shape(write.node)))
    )


def _runs(write: Writer, source: fx.Node, dim: int, index: Tensor) -> Ref:
    shape = write.shape(source)
    axis = dim % (len(shape) + 1)
    if axis == 0:
        raise write.reader.refusal(write.node, "takes some of the samples; a graph answers each by itself")
    places = [int(place) % shape[axis - 1] for place in index.reshape(-1).tolist()]
    x = write.read(source)
    parts, start = [], 0
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[end - 1] + 1:
            length = end - start
            args = (x, axis, places[start], places[start] + length)
            parts.append(write.add("aten.slice.Tensor", *args, shape=with_size(shape, axis, length)))
            start = end
    if len(parts) == 1:
        return parts[0]
    return write.add("aten.cat.default", tuple(parts), axis, shape=with_size(shape, axis, len(places)))


def windows(write: Writer, given: dict[str, Any]) -> Value:
    """Windows along one axis, and the places in each as a last axis."""
    source, size, step = given["self"], int(given["size"]), int(given["step"])
    shape = write.shape(source)
    axis = given["dimension"] % (len(shape) + 1)
    if axis == 0:
        raise write.reader.refusal(write.node, "takes windows of samples; a graph answers each by itself")
    count = (shape[axis - 1] - size) // step + 1
    x: Argument = write.read(source)
    if count * size != shape[axis - 1] or step != size:
        x = _runs(write, source, axis, torch.cat([torch.arange(size) + step * index for index in range(count)]))
    apart = (*shape[: axis - 1], count, size, *shape[axis:])
    x = write.add("aten.reshape.default", x, (-1, *apart), shape=apart)
    if axis == len(shape):
        return x
    order = (*range(axis + 1), *range(axis + 2, len(apart) + 1), axis + 1)
    return write.add(PERMUTE, x, order)


def written_over(write: Writer, given: dict[str, Any]) -> Value:
    """The source, repeated where it is smaller."""
    source, wanted = given["src"], write.reader.shape(write.node)
    known = write.tensor(source)
    if known is not None:
        return write.reader.made_of(write.node, known.broadcast_to(1, *wanted))
    shape = (1,) * (len(wanted) - len(write.shape(source))) + write.shape(source)
    x = write.read(source)
    if shape != write.shape(source):
        x = write.add("aten.view.default", x, (-1, *shape), shape=shape)
    return x if shape == wanted else write.add(MUL, x, write.constant("ones", torch.ones(1, *wanted)))


def scattered_place(write: Writer, given: dict[str, Any]) -> Value:
    """One place along an axis replaced."""
    shape = write.reader.shape(write.node)
    axis = given["dim"] % (len(shape) + 1)
    if axis == 0:
        raise write.reader.refusal(write.node, "writes into one of the samples; a graph answers each by itself")
    index, one = given["index"] % shape[axis - 1], with_size(shape, axis, 1)
    return _written(write, given, axis, index, index + 1, one)


def flipped(write: Writer, given: dict[str, Any]) -> Value:
    x: fx.Node = given["self"]
    if len(given["dims"]) != 1:
        raise write.reader.refusal(write.node, "turns several axes around at once; allowed is one")
    size = write.shape(x)[given["dims"][0] % (len(write.shape(x)) + 1) - 1]
    return _runs(write, x, given["dims"][0], torch.arange(size - 1, -1, -1))


def shuffled(write: Writer, given: dict[str, Any]) -> Value:
    """Channels into the squares of a larger image."""
    side = given["upscale_factor"]
    channels, height, width = write.reader.shape(write.node)
    height, width = height // side, width // side
    apart = (channels, side, side, height, width)
    turned = (channels, height, side, width, side)
    x = write.add("aten.view.default", write.read(given["self"]), (-1, *apart), shape=apart)
    x = write.add(PERMUTE, x, (0, 1, 4, 2, 5, 3), shape=turned)
    return write.add("aten.reshape.default", x, (-1, *write.reader.shape(write.node)))


def unshuffled(write: Writer, given: dict[str, Any]) -> Value:
    """The squares of an image into channels."""
    side = given["downscale_factor"]
    channels, height, width = write.shape(given["self"])
    apart = (channels, height // side, side, width // side, side)
    turned = (channels, side, side, height // side, width // side)
    x = write.add("aten.view.default", write.read(given["self"]), (-1, *apart), shape=apart)
    x = write.add(PERMUTE, x, (0, 1, 3, 5, 2, 4), shape=turned)
    return write.add("aten.reshape.default", x, (-1, *write.reader.shape(write.node)))


def scattered(write: Writer, given: dict[str, Any]) -> Value:
    """A slice of a value replaced: what is before it, the replacement, what is behind."""
    dim, start, end = given["dim"], given.get("start"), given.get("end")
    shape = write.reader.shape(write.node)
    axis = dim % (len(shape) + 1)
    if axis == 0 and start in {0, None} and (end is None or end >= 2**31):
        return write.value(given["src"])  # all samples are written
    if given.get("step", 1) != 1 or axis == 0:
        raise write.reader.refusal(write.node, "writes into every nth value, or into some of the samples")
    first, last, _ = slice(start, end).indices(shape[axis - 1] if axis else 0)
    return _written(write, given, axis, first, last, None)


def _written(
    write: Writer, given: dict[str, Any], axis: int, first: int, last: int, one: tuple[int, ...] | None
) -> Value:
    """What is before the places, what is written there, what is behind them."""
    shape, source = write.reader.shape(write.node), given["self"]
    parts: list[Argument] = []
    for begin, stop in ((0, first), (last, shape[axis - 1])):
        if begin < stop:
            cut = with_size(shape, axis, stop - begin)
            parts.append(write.add("aten.slice.Tensor", write.value(source), axis, begin, stop, shape=cut))
        if begin == 0:
            written = write.value(given["src"])
            if one is not None:
                written = write.add("aten.view.default", written, (-1, *one), shape=one)
            parts.append(written)
    return parts[0] if len(parts) == 1 else write.add("aten.cat.default", tuple(parts), axis)


RULES: dict[str, Rule] = {
    "aten.expand.default": rule(repeated),
    "aten.repeat.default": rule(tiled),
    "aten.stack.default": rule(stacked),
    "aten.roll.default": rule(rolled),
    "aten.index_select.default": rule(picked),
    "aten.index.Tensor": rule(indexed),
    "aten.flip.default": rule(flipped),
    "aten.pixel_shuffle.default": rule(shuffled),
    "aten.pixel_unshuffle.default": rule(unshuffled),
    "aten.slice_scatter.default": rule(scattered),
    "aten.select_scatter.default": rule(scattered_place),
    "aten.copy.default": rule(written_over),
    "aten.unfold.default": rule(windows),
}
