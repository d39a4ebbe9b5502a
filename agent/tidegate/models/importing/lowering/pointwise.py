"""Functions value by value, and sums and products with a weight that is repeated for every sample."""

from torch import fx

from tidegate.models.graph import Argument
from tidegate.models.importing.lowering.reader import Expanded, Reader, Rule, Value, call


def arithmetic(reader: Reader, node: fx.Node) -> Value:
    """A sum or product: a weight repeated for every sample is the weight, which is broadcast."""
    expanded = {
        argument: value.weight
        for argument in node.all_input_nodes
        if isinstance(value := reader.values.get(argument.name), Expanded)
    }
    if len(expanded) == len(node.all_input_nodes):
        raise reader.refusal(node, "is made of weights alone; let the model keep the result as one")
    args = tuple(
        expanded[argument] if isinstance(argument, fx.Node) and argument in expanded else reader.argument(argument)
        for argument in node.args
    )
    kwargs = {key: reader.argument(argument) for key, argument in node.kwargs.items()}
    return reader.add(node, str(node.target), args, reader.shape(node), kwargs=kwargs)


def clamp(reader: Reader, node: fx.Node) -> Value:
    """Between two numbers a hardtanh, from zero a ReLU."""
    given = call(node)
    low, high = given["min"], given.get("max")
    source = reader.argument(given["self"])
    if isinstance(low, int | float) and isinstance(high, int | float):
        limits: tuple[Argument, ...] = (float(low), float(high))
        return reader.add(node, "aten.hardtanh.default", (source, *limits), reader.shape(node))
    if low == 0 and high is None:
        return reader.add(node, "aten.relu.default", (source,), reader.shape(node))
    raise reader.refusal(node, f"clamp between {low} and {high}: allowed are two numbers, or 0 and no end")


def negative(reader: Reader, node: fx.Node) -> Value:
    """The value times -1: graphs have no negation."""
    return reader.add(node, "aten.mul.Tensor", (reader.argument(node.args[0]), -1.0), reader.shape(node))


def same(reader: Reader, node: fx.Node) -> Value:
    """What changes nothing at inference: a copy, dropout, contiguity."""
    source = node.args[0]
    return reader.values[source.name] if isinstance(source, fx.Node) else reader.argument(source)


RULES: dict[str, Rule] = {
    "aten.add.Tensor": arithmetic,
    "aten.mul.Tensor": arithmetic,
    "aten.sub.Tensor": arithmetic,
    "aten.clamp.default": clamp,
    "aten.clamp_min.default": clamp,
    "aten.neg.default": negative,
    "aten.clone.default": same,
    "aten.contiguous.default": same,
    "aten.dropout.default": same,
    "aten.alias.default": same,
    "aten.detach.default": same,
}
