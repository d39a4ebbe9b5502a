"""What turns one operator of the table into a runtime's, for runtimes that emit one value for each node. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from tidegate.engines.plan.arguments import Unconvertible
from tidegate.models.graph import Node

B = TypeVar("B")
"""A runtime's builder of graphs."""
V = TypeVar("V")
"""A value in such a graph."""


@dataclass(frozen=True, slots=True)
class Converter(Generic[B, V]):
    """`emit` raises Unconvertible for arguments that have no form in the runtime.

    Arguments that are given by name and that it does not read so are refused: they would be lost without a word.
    """

    emit: Callable[[B, Node], V]
    reads_by_name: frozenset[str] = frozenset()


def convert_by(converters: Mapping[str, Converter[B, V]], build: B, node: Node) -> V:
    """Emit the node by its operator's converter. Raises Unconvertible naming the node."""
    converter = converters[node.operator]
    if node.kwargs.keys() - converter.reads_by_name:
        raise Unconvertible(f"node {node.name}: {node.operator}: arguments {sorted(node.kwargs)} by name")
    try:
        return converter.emit(build, node)
    except Unconvertible as error:
        raise Unconvertible(f"node {node.name}: {node.operator}: {error}") from None
