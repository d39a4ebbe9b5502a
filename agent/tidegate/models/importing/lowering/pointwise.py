"""Functions value by value, and sums and products with a weight that is repeated for every sample."""

from torch import fx

from tidegate.models.importing.lowering.reader import Expanded, Reader, Rule, Value


def arithmetic(reader: Reader, node: fx.Node) -> Value:
    """A sum or product: a weight repeated for every sample is the weight, which is broadcast."""
    expanded = {
        argument: value.weight
        for argument in node.all_input_nodes
        if isinstance(value := reader.values.get(argument.name), Expanded)
    }
    args = tuple(
        expanded[argument] if isinstance(argument, fx.Node) and argument in expanded else reader.argument(argument)
        for argument in node.args
    )
    kwargs = {key: reader.argument(argument) for key, argument in node.kwargs.items()}
    return reader.add(node, str(node.target), args, reader.shape(node), kwargs=kwargs)


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
    "aten.neg.default": negative,
    "aten.clone.default": same,
    "aten.contiguous.default": same,
    "aten.dropout.default": same,
    "aten.alias.default": same,
    "aten.detach.default": same,
    "aten.detach_.default": same,
    "aten.lift_fresh_copy.default": same,
    "aten.type_as.default": same,
    "aten.feature_dropout.default": same,
    "aten.alpha_dropout.default": same,
    "aten.native_dropout.default": same,
}
