"""Normalisation: batch norms go into the layer before them, instance norms are group norms."""

from dataclasses import replace

import torch
from torch import Tensor, fx

from tidegate.models.graph import Weight
from tidegate.models.importing.lowering.reader import AsImage, ExportError, Reader, Rule, Value, call

_VIEWS = frozenset(
    {"aten.view.default", "aten.reshape.default", "aten.flatten.using_ints", "aten._unsafe_view.default"}
)
_FOLDED_INTO = frozenset({"aten.conv1d.default", "aten.conv2d.default", "aten.linear.default"})


def batch_norm(reader: Reader, node: fx.Node) -> Value:
    """Into the layer before it where nothing else uses that or its weight, else a scale and a shift."""
    source: fx.Node = call(node)["input"]
    scale, shift = scale_and_shift(reader, node)
    if _takes_in(source):
        _fold(reader, source.name, scale, shift)
        return reader.values[source.name]
    found = reader.values[source.name]
    is_signal = isinstance(found, AsImage)
    channels, *sizes = reader.shape(node)
    shape = (channels, 1, *sizes) if is_signal else (channels, *sizes)
    x = found.image if isinstance(found, AsImage) else reader.argument(source)
    per_channel = (-1, *[1] * (len(shape) - 1))
    factor = reader.constant(node, "scale", scale.reshape(per_channel))
    offset = reader.constant(node, "shift", shift.reshape(per_channel))
    scaled = reader.add(node, "aten.mul.Tensor", (x, factor), shape, "_scaled")
    result = reader.add(node, "aten.add.Tensor", (scaled, offset), shape)
    return AsImage(result) if is_signal else result


def scale_and_shift(reader: Reader, node: fx.Node) -> tuple[Tensor, Tensor]:
    """What a batch norm does to each channel."""
    given = call(node)
    mean, variance = (_tensor(reader, node, given[part]) for part in ("running_mean", "running_var"))
    gamma, beta = (
        torch.full_like(mean, number) if given[part] is None else _tensor(reader, node, given[part])
        for part, number in (("weight", 1.0), ("bias", 0.0))
    )
    scale = gamma / torch.sqrt(variance + given["eps"])
    return scale, beta - mean * scale


def into_layer(reader: Reader, source: fx.Node, scale: Tensor, shift: Tensor) -> bool:
    """Takes them into the layer that the value comes from through views; whether one is read by nobody else.

    So also along the last axis of a linear layer, which a view has made the second.
    """
    sizes = source.meta["val"].shape
    while str(source.target) in _VIEWS and len(source.users) == 1:
        source = source.all_input_nodes[0]
    if str(source.target) not in _FOLDED_INTO or len(source.users) != 1:
        return False
    own = source.meta["val"].shape
    is_linear = str(source.target) == "aten.linear.default"
    if (len(sizes) != 2 or own[-1] != sizes[1]) if is_linear else own[:2] != sizes[:2]:
        return False
    kernel: fx.Node = call(source)["weight"]
    layers = [
        each
        for each in reader.nodes
        if each.layer is not None and (each.name == source.name or each.name.startswith(f"{source.name}_laid_"))
    ]
    if len(kernel.users) != 1 or len(layers) != 1:
        return False
    _fold(reader, layers[0].name, scale, shift)
    return True


def instance_norm(reader: Reader, node: fx.Node) -> Value:
    """A group norm with one channel to a group; running statistics are not kept."""
    given = call(node)
    if not given["use_input_stats"]:
        raise reader.refusal(node, "an instance norm with running statistics can't be kept")
    shape = reader.shape(node)
    args = tuple(reader.argument(each) for each in (given["input"], shape[0], given["weight"], given["bias"]))
    args = (*args, float(given["eps"]))
    return reader.add(node, "aten.group_norm.default", args, shape)


def rms_norm(reader: Reader, node: fx.Node) -> Value:
    """x / sqrt(mean(x^2) + eps) over the last axes, times a weight."""
    given = call(node)
    shape, count = reader.shape(node), len(given["normalized_shape"])
    if count > len(shape):
        raise reader.refusal(node, "norms over the samples; an answer must be of one sample alone")
    axes = tuple(range(len(shape) - count + 1, len(shape) + 1))
    kept = (*shape[: len(shape) - count], *[1] * count)
    x = reader.argument(given["input"])
    eps = torch.finfo(torch.float32).eps if given["eps"] is None else float(given["eps"])
    square = reader.add(node, "aten.mul.Tensor", (x, x), shape, "_square")
    mean = reader.add(node, "aten.mean.dim", (square, axes, True), kept, "_mean")
    above = reader.add(node, "aten.add.Tensor", (mean, eps), kept, "_above")
    root = reader.add(node, "aten.sqrt.default", (above,), kept, "_root")
    scale = reader.add(node, "aten.reciprocal.default", (root,), kept, "_scale")
    if given["weight"] is None:
        return reader.add(node, "aten.mul.Tensor", (x, scale), shape)
    normed = reader.add(node, "aten.mul.Tensor", (x, scale), shape, "_normed")
    return reader.add(node, "aten.mul.Tensor", (normed, reader.argument(given["weight"])), shape)


def _takes_in(source: fx.Node) -> bool:
    if str(source.target) not in _FOLDED_INTO or len(source.users) != 1:
        return False
    if str(source.target) == "aten.linear.default" and source.meta["val"].ndim != 2:
        return False  # its outputs lie along the last axis, a batch norm's channels along the second
    kernel: fx.Node = call(source)["weight"]
    return len(kernel.users) == 1


def _fold(reader: Reader, name: str, scale: Tensor, shift: Tensor) -> None:
    index = next(i for i, node in enumerate(reader.nodes) if node.name == name)
    layer = reader.nodes[index]
    x, weight, *others = layer.args
    bias, rest = (others[0], others[1:]) if others else (None, [])
    if not isinstance(weight, Weight):
        raise ExportError(f"{name} has a kernel that is not a weight")
    kernel = reader.tensors[weight.weight]
    old = reader.tensors[bias.weight] if isinstance(bias, Weight) else torch.zeros(())
    layer_name = weight.weight.rpartition(".")[0] or weight.weight
    new_bias = bias.weight if isinstance(bias, Weight) else f"{layer_name}.bias"
    reader.tensors[weight.weight] = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))
    reader.tensors[new_bias] = old * scale + shift
    reader.nodes[index] = replace(layer, args=(x, weight, Weight(new_bias), *rest))


def _tensor(reader: Reader, node: fx.Node, argument: object) -> Tensor:
    weight = reader.argument(argument)
    if not isinstance(weight, Weight):
        raise reader.refusal(node, "a batch norm needs weights, a bias and running statistics")
    return reader.tensors[weight.weight].detach()


RULES: dict[str, Rule] = {
    "aten._native_batch_norm_legit_no_training.default": batch_norm,
    "aten.instance_norm.default": instance_norm,
    "aten.rms_norm.default": rms_norm,
}
