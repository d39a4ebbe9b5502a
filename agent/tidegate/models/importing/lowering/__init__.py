"""Exported operators in the words of graphs: many of torch's are said with few."""

from torch import fx

from tidegate.models.graph import Weight
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.lowering import (
    composed,
    elementary,
    gathered,
    layouts,
    norms,
    pointwise,
    products,
    rearranged,
    shapes,
    signals,
    sum_convention,
    volumes,
    whole_numbers,
    windowed,
)
from tidegate.models.importing.lowering.folding import Folding, is_check
from tidegate.models.importing.lowering.reader import ExportError, Reader, Refused, Rule, Value

_RULES: dict[str, Rule] = {
    **norms.RULES,
    **pointwise.RULES,
    **shapes.RULES,
    **composed.RULES,
    **elementary.RULES,
    **products.RULES,
    **sum_convention.RULES,
    **rearranged.RULES,
    **windowed.RULES,
    **whole_numbers.RULES,
    **gathered.RULES,
    **volumes.RULES,
}


def lower(graph: fx.Graph, reader: Reader, *, as_vector: bool) -> None:
    """Read a whole graph into the reader's nodes; with `as_vector` its output is flattened.

    Raises ExportError that names all places which graphs can't say, with a reason for each.
    """
    folding = Folding(reader)
    reader.reserve(node.name for node in graph.nodes)
    refusals: dict[str, None] = {}
    operators: dict[str, None] = {}
    for node in graph.nodes:
        if is_check(node):
            continue
        if any(isinstance(reader.values.get(each.name), Refused) for each in node.all_input_nodes):
            reader.values[node.name] = Refused()
            continue
        try:
            if node.op == "placeholder":
                reader.take_input(node)
                weight = reader.values[node.name]
                if isinstance(weight, Weight):
                    folding.take_weight(node, reader.tensors[weight.weight])
            elif node.op == "call_function":
                reader.values[node.name] = _read(node, reader, folding)
            else:
                reader.finish(node, as_vector=as_vector)
        except ExportError as error:
            refusals[str(error)] = None
            operators[str(node.target)] = None
            reader.values[node.name] = Refused()
    if refusals:
        refused = ExportError("\n".join(refusals))
        refused.operators = tuple(operators)
        raise refused


def is_known(operator: str) -> bool:
    """Whether graphs have an operator, or say it with others."""
    return operator in OPERATORS or operator in _RULES or signals.is_known(operator) or layouts.is_known(operator)


def _read(node: fx.Node, reader: Reader, folding: Folding) -> Value:
    known = folding.value(node)
    if known is not None:
        return known[0]
    rule = (
        layouts.rule_for(node, reader, gathered.LAID)
        or signals.rule_for(node, reader)
        or _RULES.get(str(node.target))
        or Reader.keep
    )
    return rule(reader, node)
