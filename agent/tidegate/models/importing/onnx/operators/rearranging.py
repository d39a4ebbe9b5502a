"""What cuts, joins, repeats and turns values."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tidegate.models.importing.onnx.call import Call, Operator, Unsupported

_FAR = 10**8
"""Past the end of any axis; exporters write the largest whole number, or 10^9."""


def concat(call: Call) -> Tensor:
    parts = call.tensors()
    axis = call.attribute("axis") % parts[0].ndim
    samples = next((part.shape[0] for place, part in enumerate(parts) if place not in call.known), None)
    if call.known and axis != 0 and samples is not None:
        parts = [
            part.expand(samples, *part.shape[1:]) if place in call.known else part
            for place, part in enumerate(parts)
        ]
    return torch.cat(parts, axis)


def split(call: Call) -> tuple[Tensor, ...]:
    x = call.tensor(0)
    axis = call.attribute("axis", 0) % x.ndim
    sizes = call.whole_or_attribute(1, "split")
    if sizes is not None:
        return torch.split(x, [int(size) for size in sizes], axis)
    return torch.split(x, -(-x.shape[axis] // call.outputs), axis)


def cut(call: Call) -> Tensor:
    """Slice."""
    x = call.tensor(0)
    starts, ends = call.whole_or_attribute(1, "starts"), call.whole_or_attribute(2, "ends")
    if starts is None or ends is None:
        raise Unsupported("says neither where to start nor where to end")
    axes = call.whole_or_attribute(3, "axes") or list(range(len(starts)))
    steps = call.whole(4) if call.optional(4) is not None else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            place = axis % x.ndim
            # In a trace the number of samples is symbolic, wherever they are; time may be in front of them.
            if step != -1 or not isinstance(x.shape[place], int):
                raise Unsupported(f"goes backwards by {-step}; allowed is 1, along another axis than the samples'")
            last = x.shape[place] - 1 if start >= x.shape[place] else start % x.shape[place]
            first = -1 if end <= -x.shape[place] - 1 else end % x.shape[place]
            x = torch.cat([x.narrow(place, index, 1) for index in range(last, first, -1)], place)
            continue
        index: list[Any] = [slice(None)] * x.ndim
        index[axis] = slice(start, None if isinstance(end, int) and end >= _FAR else end, step)
        x = x[tuple(index)]
    return x


def gather(call: Call) -> Tensor:
    """Places along an axis by indices that don't depend on the input."""
    x = call.tensor(0)
    axis = call.attribute("axis", 0) % x.ndim
    if not call.known:
        indices = call.tensor(1)
        picked = x.index_select(axis, indices.reshape(-1) % x.shape[axis])
        return picked.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])
    places = call.known.get(1)
    if places is None:
        if axis == 0 and x.ndim == 2:
            return functional.embedding(call.tensor(1), x)
        raise Unsupported("takes an index that depends on the input's values; graphs have none")
    if places.ndim == 0:
        return x.select(axis, int(places))
    picked = _runs(x, axis, places.reshape(-1).tolist())
    return picked if places.ndim == 1 else picked.reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def _runs(x: Tensor, axis: int, indices: Sequence[int]) -> Tensor:
    """The places one after the other; neighbours are taken together."""
    parts, start = [], 0
    places = [index % x.shape[axis] for index in indices]
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[end - 1] + 1:
            parts.append(x.narrow(axis, places[start], end - start))
            start = end
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def looked_up(call: Call) -> Tensor:
    """Rows of a table by numbers (..., 1), as a one-hot vector times the table gives them."""
    numbers = call.tensor(0)
    if numbers.shape[-1] != 1:
        raise Unsupported("compares more than one number with each row")
    return functional.embedding(numbers.squeeze(-1), call.tensor(1))


def one_hot(call: Call) -> Tensor:
    """Behind the last axis a vector with one value where the number stands, and another elsewhere."""
    numbers, depth = call.tensor(0), int(call.whole(1)[0])
    off, on = call.numbers(2)
    if call.attribute("axis", -1) not in {-1, numbers.ndim}:
        raise Unsupported("puts its vectors before the last axis; allowed is behind it")
    truth = (numbers.unsqueeze(-1) == torch.arange(depth)).float()
    return truth * (on - off) + off


def squeeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.whole_or_attribute(1, "axes")
    if axes is None:
        raise Unsupported("leaves out every axis of 1, which may be the samples'; name the axes")
    return x.squeeze(tuple(int(axis) for axis in axes))


def unsqueeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.whole_or_attribute(1, "axes") or []
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def reshape(call: Call) -> Tensor:
    x, sizes = call.tensor(0), call.whole(1)
    fixed = call.one_sample and 0 not in call.known and 1 in call.known and sizes[0] not in {-1, 0}
    if not call.attribute("allowzero", 0):
        sizes = [x.shape[place] if is_zero(size) else size for place, size in enumerate(sizes)]
    if fixed:
        # The file's sizes are those of one sample.
        sizes[0] = x.shape[0] if sizes[0] == 1 else x.shape[0] * sizes[0]
    return x.reshape(sizes)


def is_zero(size: object) -> bool:
    return isinstance(size, int) and size == 0


def flatten(call: Call) -> Tensor:
    axis = call.attribute("axis", 1) % call.tensor(0).ndim
    if axis == 0:
        raise Unsupported("makes one row of all samples")
    x = call.tensor(0).flatten(axis)
    return x if axis == 1 else x.flatten(0, axis - 1)


def transpose(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.permute(call.attribute("perm") or list(reversed(range(x.ndim))))


def expand(call: Call) -> Tensor:
    x, sizes = call.tensor(0), call.whole(1)
    rank = max(x.ndim, len(sizes))
    old = [1] * (rank - x.ndim) + list(x.shape)
    wanted = [1] * (rank - len(sizes)) + sizes
    # A size of 1 on either side gives way to the other's.
    new = [a if isinstance(b, int) and b == 1 else b for a, b in zip(old, wanted, strict=True)]
    return x.reshape(old).expand(new)


def tile(call: Call) -> Tensor:
    return call.tensor(0).repeat(*call.whole(1))


def pad(call: Call) -> Tensor:
    x = call.tensor(0)
    mode = call.attribute("mode", "constant")
    amounts = [int(each) for each in call.whole_or_attribute(1, "pads") or call.attribute("paddings")]
    axes = call.whole(3) if call.optional(3) is not None else list(range(len(amounts) // 2))
    pairs = [(0, 0)] * x.ndim
    for axis, front, behind in zip(axes, amounts, amounts[len(axes) :], strict=False):
        pairs[axis] = (front, behind)
    while pairs and pairs[0] == (0, 0) and (mode == "constant" or len(pairs) > x.ndim - 2):
        pairs = pairs[1:]
    value = call.attribute("value", 0.0)
    if call.optional(2) is not None:
        (value,) = call.numbers(2)
    flat = [amount for pair in reversed(pairs) for amount in pair]
    if not flat:
        return x
    if mode == "constant":
        return functional.pad(x, flat, value=value)
    return functional.pad(x, flat, mode={"edge": "replicate", "reflect": "reflect", "wrap": "circular"}[mode])


def depth_to_space(call: Call) -> Tensor:
    x, side = call.tensor(0), call.attribute("blocksize")
    channels, height, width = x.shape[1:]
    depth = channels // side**2
    if call.attribute("mode", "DCR") == "DCR":
        turned = x.reshape(-1, side, side, depth, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        turned = x.reshape(-1, depth, side, side, height, width).permute(0, 1, 4, 2, 5, 3)
    return turned.reshape(-1, depth, height * side, width * side)


def space_to_depth(call: Call) -> Tensor:
    x, side = call.tensor(0), call.attribute("blocksize")
    channels, height, width = x.shape[1:]
    turned = x.reshape(-1, channels, height // side, side, width // side, side).permute(0, 3, 5, 1, 2, 4)
    return turned.reshape(-1, channels * side**2, height // side, width // side)


OPERATORS: dict[str, Operator] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "OneHot": one_hot,
    "tidegate.Embedding": looked_up,
    "Gather": gather,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": cut,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
