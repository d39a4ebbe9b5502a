"""Exported operators in the words of graphs: many of torch's are said with few."""

from torch import fx

from tidegate.models.importing.lowering import norms, pointwise, shapes, signals
from tidegate.models.importing.lowering.reader import Reader, Rule

_RULES: dict[str, Rule] = {**norms.RULES, **pointwise.RULES, **shapes.RULES}


def lower(graph: fx.Graph, reader: Reader, *, as_vector: bool) -> None:
    """Read a whole graph into the reader's nodes; with `as_vector` its output is flattened.

    Raises ExportError for what graphs can't say.
    """
    for node in graph.nodes:
        if node.op == "placeholder":
            reader.take_input(node)
        elif node.op == "call_function":
            rule = signals.rule_for(node, reader) or _RULES.get(str(node.target)) or Reader.keep
            reader.values[node.name] = rule(reader, node)
        else:
            reader.finish(node, as_vector=as_vector)
