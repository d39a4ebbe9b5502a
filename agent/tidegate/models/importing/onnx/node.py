"""Nodes of an ONNX graph as plain data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One node; an empty input is left out."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Branch:
    """One side of an `If`: nodes that may read whatever was computed before it, and what it gives."""

    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, npt.NDArray[Any]]
    outputs: tuple[str, ...]

    @property
    def read(self) -> frozenset[str]:
        """All names that its nodes read."""
        return frozenset(name for node in self.nodes for name in read_by(node)) | frozenset(self.outputs)


def read_by(node: OnnxNode) -> Iterator[str]:
    """The names that a node reads, those inside its branches too."""
    yield from (name for name in node.inputs if name)
    for value in node.attributes.values():
        if isinstance(value, Branch):
            yield from value.read
