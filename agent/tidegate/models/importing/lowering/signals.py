"""Signals over time (channels, length) as images of height 1: every engine has kernels for those."""

from collections.abc import Sequence

from torch import fx

from tidegate.models.graph import Argument, Ref, Weight
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.lowering.reader import AsImage, Reader, Rule, Value, call

_RANK = 2
"""Of a signal, per sample."""


def rule_for(node: fx.Node, reader: Reader) -> Rule | None:
    """The rule of an operator on signals; None for all that needs none."""
    operator = str(node.target)
    if operator in RULES:
        return RULES[operator]
    if _is_elementwise(operator) and all(
        isinstance(reader.values.get(argument.name), AsImage) for argument in node.all_input_nodes
    ):
        return _pointwise
    return None


def is_known(operator: str) -> bool:
    """Whether there is a rule for the operator, on signals."""
    return operator in RULES


def _is_elementwise(operator: str) -> bool:
    return operator in OPERATORS and OPERATORS[operator].is_elementwise


def _conv(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    kernel = reader.argument(given["weight"])
    if not isinstance(kernel, Weight):
        raise reader.refusal(node, "a convolution's kernel must be a weight")
    image = _image(reader, given["input"])
    if reader.tensors[kernel.weight].ndim == _RANK + 1:
        reader.tensors[kernel.weight] = reader.tensors[kernel.weight].unsqueeze(2)
    dilation, padding = beside(given["dilation"], 1), given["padding"]
    if isinstance(padding, str):
        reach = dilation[1] * (reader.tensors[kernel.weight].shape[3] - 1) if padding == "same" else 0
        if reach % 2:
            channels, length = reader.shape(given["input"])
            pads = (reach // 2, reach - reach // 2, 0, 0)
            shape = (channels, 1, length + reach)
            image = reader.add(node, "aten.constant_pad_nd.default", (image, pads, 0.0), shape, "_padded")
            reach = 0
        padding = reach // 2
    window = (beside(given["stride"], 1), beside(padding, 0), dilation)
    args = (image, kernel, reader.argument(given["bias"]), *window, int(given["groups"]))
    return _as_image(reader, node, "aten.conv2d.default", args)


def _transposed(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    kernel = reader.argument(given["weight"])
    if not isinstance(kernel, Weight):
        raise reader.refusal(node, "a convolution's kernel must be a weight")
    if reader.tensors[kernel.weight].ndim == _RANK + 1:
        reader.tensors[kernel.weight] = reader.tensors[kernel.weight].unsqueeze(2)
    window = (beside(given["stride"], 1), beside(given["padding"], 0), beside(given["output_padding"], 0))
    more = (int(given["groups"]), beside(given["dilation"], 1))
    args = (_image(reader, given["input"]), kernel, reader.argument(given["bias"]), *window, *more)
    return _as_image(reader, node, "aten.conv_transpose2d.input", args)


def _max_pool(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    window = (beside(given["kernel_size"], 1), beside(given["stride"] or given["kernel_size"], 1))
    more = (beside(given["padding"], 0), beside(given["dilation"], 1), bool(given["ceil_mode"]))
    return _as_image(reader, node, "aten.max_pool2d.default", (_image(reader, given["self"]), *window, *more))


def _average_pool(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    window = (beside(given["kernel_size"], 1), beside(given["stride"] or given["kernel_size"], 1))
    more = (beside(given["padding"], 0), bool(given["ceil_mode"]), bool(given["count_include_pad"]))
    return _as_image(reader, node, "aten.avg_pool2d.default", (_image(reader, given["self"]), *window, *more))


def _adaptive(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    args = (_image(reader, given["self"]), beside(given["output_size"], 1))
    return _as_image(reader, node, "aten.adaptive_avg_pool2d.default", args)


def _pointwise(reader: Reader, node: fx.Node) -> Value:
    args = tuple(_image(reader, arg) if isinstance(arg, fx.Node) else reader.argument(arg) for arg in node.args)
    kwargs = {key: reader.argument(each) for key, each in node.kwargs.items()}
    return _as_image(reader, node, str(node.target), args, kwargs)


def _image(reader: Reader, source: fx.Node) -> Ref:
    """A signal (channels, length) as an image (channels, 1, length)."""
    value = reader.values.get(source.name)
    if isinstance(value, AsImage):
        return value.image
    channels, length = reader.shape(source)
    image = reader.view(source, reader.argument(source), (channels, 1, length), "_image")
    reader.values[source.name] = AsImage(image)
    return image


def _as_image(
    reader: Reader,
    node: fx.Node,
    operator: str,
    args: tuple[Argument, ...],
    kwargs: dict[str, Argument] | None = None,
) -> AsImage:
    channels, length = reader.shape(node)
    return AsImage(reader.add(node, operator, args, (channels, 1, length), kwargs=kwargs))


def beside(length: int | Sequence[int], height: int) -> tuple[int, int]:
    """What a window is over the length, with what it is over a height of 1."""
    return height, length if isinstance(length, int) else length[0]


RULES: dict[str, Rule] = {
    "aten.conv1d.default": _conv,
    "aten.conv1d.padding": _conv,
    "aten.conv_transpose1d.default": _transposed,
    "aten.max_pool1d.default": _max_pool,
    "aten.avg_pool1d.default": _average_pool,
    "aten.adaptive_avg_pool1d.default": _adaptive,
}
