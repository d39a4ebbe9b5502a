"""Segments as data: a straight line of allowlisted operators. No torch here, and nothing in a graph is code."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tidegate.models.errors import BundleError
from tidegate.models.graph.arguments import INPUT, Argument, Ref, Weight
from tidegate.models.graph.operators import OPERATORS

MAX_NODES = 4096
MAX_ELEMENTS_PER_SAMPLE = 2**28
"""1 GiB of fp32 for one activation of one sample: beyond any model for the devices in view."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator call; `shape` is that of its result, per sample."""

    name: str
    operator: str
    args: tuple[Argument, ...]
    shape: tuple[int, ...]
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    leaves: tuple[Argument, ...] = field(init=False, repr=False, compare=False)
    """All arguments, those inside lists too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaves", tuple(_leaves((*self.args, *self.kwargs.values()))))
        if self.operator not in OPERATORS:
            allowed = ", ".join(sorted(OPERATORS))
            raise BundleError(f"node {self.name}: operator {self.operator!r} is not among the allowed: {allowed}")
        if _elements(self.shape, self.name) > MAX_ELEMENTS_PER_SAMPLE:
            raise BundleError(f"node {self.name}: shape {self.shape} exceeds {MAX_ELEMENTS_PER_SAMPLE} elements")

    @property
    def layer(self) -> str | None:
        """The layer whose weights this node uses, None for a node without weights: `block_1.conv1`."""
        return next((layer_of(weight.weight) for weight in self.weights()), None)

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the values it reads, in order; INPUT for the segment's own, twice what is read twice."""
        return tuple(leaf.ref for leaf in self.leaves if isinstance(leaf, Ref))

    def weights(self) -> Iterator[Weight]:
        """The weights among the arguments, in order."""
        return (leaf for leaf in self.leaves if isinstance(leaf, Weight))


@dataclass(frozen=True, slots=True)
class Segment:
    """A named part of a network, input to output; shapes are per sample, the batch axis stands before them.

    The last node's value is the output. Raises BundleError for a graph that is no straight line of known values.
    """

    name: str
    input_shape: tuple[int, ...]
    nodes: tuple[Node, ...]
    fixed: bool = False
    """Always runs, though its shapes would allow it to be skipped."""

    def __post_init__(self) -> None:
        if not 0 < len(self.nodes) <= MAX_NODES:
            raise BundleError(f"segment {self.name}: has {len(self.nodes)} nodes, allowed are 1 to {MAX_NODES}")
        known = {INPUT}
        for node in self.nodes:
            for operand in node.operands:
                if operand not in known:
                    raise BundleError(
                        f"segment {self.name}, node {node.name}: {operand!r} is not an earlier value"
                    )
            if node.name in known:
                raise BundleError(f"segment {self.name}: the name {node.name!r} is used twice")
            known.add(node.name)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output, per sample."""
        return self.nodes[-1].shape

    @property
    def skippable(self) -> bool:
        """Whether the segment is a block: its input can stand in for its output."""
        return not self.fixed and self.input_shape == self.output_shape

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the tensors it uses, each once, in order of first use."""
        return tuple(dict.fromkeys(weight.weight for node in self.nodes for weight in node.weights()))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose precision can be chosen, in order of first use."""
        return tuple(dict.fromkeys(layer_of(name) for name in self.weights))


def _leaves(arguments: Iterable[Argument]) -> Iterator[Argument]:
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _leaves(argument)
        else:
            yield argument


def layer_of(weight: str) -> str:
    """The layer a weight belongs to: its name without the last part."""
    return weight.rpartition(".")[0]


def _elements(shape: tuple[int, ...], where: str) -> int:
    if any(size < 1 for size in shape):
        raise BundleError(f"node {where}: shape {shape} has a size below 1")
    return math.prod(shape)
