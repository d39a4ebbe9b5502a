"""Finding the skippable blocks of a network, and cutting it at them.

A block is a run of nodes between two cut points that keeps the shape, or has a shortcut to fall back to.
Residual ones (CNN blocks, inverted residuals, attention and MLP of an encoder layer apart) show in the graph
itself: paths part and meet again in an addition. Plain ones show as submodules, or as single layers, with a
convolution or linear layer in them.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from torch import Tensor, nn

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.graph import Node, Segment
from tidegate.models.graph.operator import Kind
from tidegate.models.graph.operators import ADD, LAYER_NORM, OPERATORS
from tidegate.models.graph.shortcut import shortcut_of
from tidegate.models.importing.export import Exported, export_module
from tidegate.models.importing.partitioning import cut_points, subgraph
from tidegate.models.network import TrainedNetwork


class DiscoveryError(TidegateError):
    """A block that was asked for is none; the message says why."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class NodeSpan:
    """Nodes `first` to `last` of a graph, both included, named after the submodule they come from."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Discovered:
    """A network cut at its blocks, and why other parts are none: (what, reason)."""

    network: TrainedNetwork
    refused: tuple[tuple[str, str], ...]


def discover(module: nn.Module, example: Tensor, blocks: Sequence[str] = ()) -> Discovered:
    """The module as segments; `blocks` names submodules to take as the only blocks, in place of all found.

    `example` is a batch (2 or more, *input shape). What lies between blocks is cut too, where one value crosses:
    samples may leave there. Raises ExportError when the module can't be exported and DiscoveryError when a named
    block is none.
    """
    return cut_at_blocks(export_module(module, example, as_vector=True), blocks)


def cut_at_blocks(exported: Exported, blocks: Sequence[str] = ()) -> Discovered:
    """The graph of a whole module as segments, as `discover` says. Raises DiscoveryError."""
    finder = _BlockFinder(exported)
    found, refused = finder.named(blocks) if blocks else finder.all()
    # Whoever names the blocks has samples leave before these alone.
    cuts = frozenset() if blocks else frozenset(cut_points(exported.segment))
    segments = tuple(_cut(exported.segment, found, cuts))
    return Discovered(TrainedNetwork(segments, exported.weights), tuple(refused))


class _BlockFinder:
    """The blocks of one exported graph, and why other parts of it are none."""

    def __init__(self, exported: Exported) -> None:
        self._graph = exported.segment
        self._paths: Mapping[str, str] = exported.paths
        self._cuts = frozenset({-1, *cut_points(exported.segment)})
        self._refused: list[tuple[str, str]] = []

    def all(self) -> tuple[list[NodeSpan], list[tuple[str, str]]]:
        """Every block that shows, in order; none ends with the graph, whose end is the head."""
        residual = [span for span in self._residual() if self._fits(span)]
        free = set(range(len(self._graph.nodes) - 1))
        for span in residual:
            free -= set(range(span.first, span.last + 1))
        plain = [span for span in self._plain(free) if self._fits(span)]
        return sorted([*residual, *plain], key=lambda span: span.first), self._refused

    def named(self, blocks: Sequence[str]) -> tuple[list[NodeSpan], list[tuple[str, str]]]:
        """The named submodules. Raises DiscoveryError for the first that can't be a block."""
        found = []
        for name in blocks:
            inside = [i for i, node in enumerate(self._graph.nodes) if self._is_under(node.name, name)]
            if not inside:
                known = ", ".join(sorted({path for path in self._paths.values() if path}))
                raise DiscoveryError(f"{name}: the model computes nothing there; it has {known}")
            span = NodeSpan(_segment_name(name), inside[0], inside[-1])
            if not self._fits(span):
                raise DiscoveryError(": ".join(self._refused[-1]))
            found.append(span)
        found.sort(key=lambda span: span.first)
        for above, below in pairwise(found):
            if below.first <= above.last:
                raise DiscoveryError(f"{above.name} and {below.name} overlap")
        return found, []

    def _residual(self) -> Iterator[NodeSpan]:
        """Where paths part and meet in an addition, with an activation or norm that follows at once."""
        nodes = self._graph.nodes
        for before, after in pairwise(sorted(self._cuts)):
            if after - before < 2:
                continue
            inside = nodes[before + 1 : after + 1]
            name = self._name(before + 1, after)
            if nodes[after].operator != ADD:
                self._refused.append((name, f"its paths meet in {nodes[after].operator}, not in an addition"))
                continue
            last = after
            if after + 1 in self._cuts and _ends_a_block(nodes[after + 1], norm=inside[0].operator != LAYER_NORM):
                last = after + 1
            yield NodeSpan(name, before + 1, last)

    def _plain(self, free: set[int]) -> Iterator[NodeSpan]:
        """Submodules without submodules of their own kind, then single layers, among the nodes still free."""
        paths = {path for path in self._paths.values() if path}
        modules = {path.rpartition(".")[0] for path in paths} - {""}
        for path in sorted(modules, key=lambda path: (-path.count("."), path)):
            inside = [i for i, node in enumerate(self._graph.nodes) if self._is_under(node.name, path)]
            whole = inside == list(range(inside[0], inside[-1] + 1)) and set(inside) <= free
            if whole and self._keeps_shape(inside[0], inside[-1]) and self._is_cut_off(inside[0], inside[-1]):
                free -= set(inside)
                yield NodeSpan(_segment_name(path), inside[0], inside[-1])
        for index in sorted(free):
            if _kind(self._graph.nodes[index]) is Kind.LAYER:
                follows = index + 1 in free and _kind(self._graph.nodes[index + 1]) is Kind.ACTIVATION
                yield NodeSpan(self._name(index, index), index, index + follows)

    def _fits(self, span: NodeSpan) -> bool:
        """Whether it can be a block; if not, the reason is kept."""
        inside = self._graph.nodes[span.first : span.last + 1]
        reason = None
        if not self._is_cut_off(span.first, span.last):
            reason = "other values pass around it, so that it can't be cut out"
        elif not any(_kind(node) is Kind.LAYER for node in inside):
            reason = "it has no convolution and no linear layer, so that skipping it saves nothing"
        elif span.last == len(self._graph.nodes) - 1:
            reason = "it gives the answer"
        elif not self._keeps_shape(span.first, span.last):
            part = subgraph(self._graph, span.name, span.first, span.last, fixed=False)
            if shortcut_of(part) is None:
                reason = f"it changes shape, {part.input_shape} to {part.output_shape}, and has no shortcut"
        if reason is not None:
            self._refused.append((span.name, reason))
        return reason is None

    def _is_cut_off(self, first: int, last: int) -> bool:
        return first - 1 in self._cuts and last in self._cuts

    def _keeps_shape(self, first: int, last: int) -> bool:
        nodes = self._graph.nodes
        return nodes[last].shape == (self._graph.input_shape if first == 0 else nodes[first - 1].shape)

    def _is_under(self, node: str, path: str) -> bool:
        return self._paths[node] == path or self._paths[node].startswith(f"{path}.")

    def _name(self, first: int, last: int) -> str:
        """The submodule that all layers of the span are in, as a segment's name."""
        nodes = self._graph.nodes[first : last + 1]
        paths = [self._paths[node.name] for node in nodes if any(node.weights())] or [
            self._paths[node.name] for node in nodes
        ]
        levels = zip(*(path.split(".") for path in paths), strict=False)
        return _segment_name(".".join(parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, levels)))


def _cut(graph: Segment, blocks: Sequence[NodeSpan], cuts: frozenset[int]) -> Iterator[Segment]:
    """Blocks and what lies between them, which always runs: cut too, since samples may leave there."""
    names: dict[str, int] = {}

    def unique(name: str) -> str:
        names[name] = names.get(name, 0) + 1
        return name if names[name] == 1 else f"{name}-{names[name]}"

    start = 0
    for block in blocks:
        if start < block.first:
            name = "stem" if start == 0 else f"before-{block.name}"
            for first, last in _pieces(graph, cuts, start, block.first - 1):
                yield subgraph(graph, unique(name), first, last, fixed=True)
        yield subgraph(graph, unique(block.name), block.first, block.last, fixed=False)
        start = block.last + 1
    *others, (first, last) = _pieces(graph, cuts, start, len(graph.nodes) - 1)
    if others and not any(_kind(node) is Kind.LAYER for node in graph.nodes[others[-1][0] : first]):
        # Nobody leaves before the last layer, so that what comes before it stays with it.
        first, _ = others.pop()
    for piece in others:
        yield subgraph(graph, unique("stem" if piece[0] == 0 else "before-head"), *piece, fixed=True)
    yield subgraph(graph, unique("head"), first, last, fixed=True)


def _pieces(graph: Segment, cuts: frozenset[int], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Nodes `first` to `last` as runs (first, last), cut between layers where the value that crosses is smallest.

    Of equals the latest: what follows a layer without weights of its own stays with it. What comes before the
    first layer is a run of its own where it makes the value smaller, as pooling does.
    """
    start, best = first, None
    least = math.inf if first == 0 else math.prod(graph.nodes[first - 1].shape) - 1
    for index in range(first, last + 1):
        if _kind(graph.nodes[index]) is Kind.LAYER:
            if best is not None:
                yield start, best
                start, best = best + 1, None
            least = math.inf
        elements = math.prod(graph.nodes[index].shape)
        if index in cuts and elements <= least and index < last:
            best, least = index, elements
    yield start, last


def _kind(node: Node) -> Kind:
    return OPERATORS[node.operator].kind


def _ends_a_block(node: Node, *, norm: bool) -> bool:
    """Whether it belongs to the addition before it: an activation or, with `norm`, a layer norm."""
    return _kind(node) is Kind.ACTIVATION or (norm and node.operator == LAYER_NORM)


def _segment_name(name: str) -> str:
    """A module path as a segment's name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name) or "model"
