"""Which tensors of a plan travel as 8-bit codes when layers run in int8, and with which parameters. Pure.

A tensor without parameters is float32.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidegate.engines.plan.adapted import Adapted
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import ExecutionPlan, Subgraph, last_tensor
from tidegate.engines.plan.quantization import QuantParams, Range, range_of, union
from tidegate.models.graph import Node, Segment
from tidegate.models.graph.fusion import is_clamp, only_readers
from tidegate.models.graph.operator import Quantization
from tidegate.models.graph.operators import OPERATORS

LARGE = 256
"""Inputs and outputs of a linear layer, from where on dynamic quantization costs no time. Measured on LiteRT, the
whole network's time with it by that without: 1.18 with layers 49 to 64 wide, 1.12 with 64, 1.01 with 192, .95 with
384."""


def is_quantizable_layer(node: Node) -> bool:
    """Whether the node is a layer that runs on int8 weights, where its precision is so."""
    return OPERATORS[node.operator].quantization is Quantization.WEIGHTS_AND_INPUTS


@dataclass(frozen=True, slots=True)
class SharedScaleGroup:
    """Tensors with one set of parameters, since a gate lets any of them through in the place of another."""

    names: tuple[str, ...]
    span: Range


def plan_tensors(
    plan: ExecutionPlan,
    int8: frozenset[str],
    adapted: Mapping[str, Adapted],
    ranges: Mapping[str, Range],
    capabilities: Capabilities,
) -> Mapping[str, QuantParams]:
    """The parameters of every tensor that travels as codes, by name.

    `int8` names the layers that run on integers; `adapted` and `ranges` go by tensor. Raises MissingRange for a
    tensor that needs parameters and has no range.
    """
    return _TensorPlanner(plan, int8, adapted, ranges, capabilities).params_of()


def _is_joined(node: Node) -> bool:
    return OPERATORS[node.operator].quantization is Quantization.SHARED_SCALES


def _is_large(graph: Segment, node: Node) -> bool:
    """Whether a linear layer's products take so long that finding each row's range is nothing beside them."""
    (source,) = node.operands
    shape = next((each.shape for each in graph.nodes if each.name == source), graph.input_shape)
    return min(shape[-1], node.shape[-1]) >= LARGE


class _TensorPlanner:
    def __init__(
        self,
        plan: ExecutionPlan,
        int8: frozenset[str],
        adapted: Mapping[str, Adapted],
        ranges: Mapping[str, Range],
        capabilities: Capabilities,
    ) -> None:
        self._plan = plan
        self._int8 = int8
        self._adapted = adapted
        self._ranges = ranges
        self._on_integers = capabilities.on_integers
        self._dynamic = capabilities.dynamic
        self._float_outputs = capabilities.float_outputs
        self._wide = frozenset(name for name, span in ranges.items() if span.is_wide)
        # An exit may lead to the network's own head: then one graph reads tensors of several sets of parameters.
        uses = Counter(graph.name for subgraph in plan for graph in subgraph.graphs)
        self._used_twice = {name for name, count in uses.items() if count > 1}
        self._stand_ins = {
            subgraph.output_name: last_tensor(subgraph.stand_in)
            for subgraph in plan
            if subgraph.stand_in is not None
        }
        self._read_by_floats = self._read_in_float32()
        self._read_by_layers = self._read_as_codes()

    def params_of(self) -> Mapping[str, QuantParams]:
        coded = self._coded()
        shared = {name: group.span for group in self._groups(coded) for name in group.names}
        params_of: dict[str, QuantParams] = {}
        for name, owner in coded.items():
            has_others = name in shared or name in self._stand_ins
            own = self._adapted[name].params if name in self._adapted and not has_others else None
            if own is not None:
                params_of[name] = own
            elif name in shared:
                params_of[name] = QuantParams.over(shared[name])
            elif owner is not None and owner in params_of:
                params_of[name] = params_of[owner]
            else:
                params_of[name] = QuantParams.over(self._range(name))
        return params_of

    def _range(self, name: str) -> Range:
        span = range_of(self._ranges, name)
        if name in self._adapted:
            clip = self._adapted[name].setting.clip
            span = Range(max(span.low, -clip), min(span.high, clip))
        other = self._stand_ins.get(name)
        return span if other is None else span.union(range_of(self._ranges, other))

    def _coded(self) -> dict[str, str | None]:
        """Tensors that travel as codes; the one whose parameters each takes over, None for its own."""
        coded: dict[str, str | None] = {}
        for subgraph in self._plan:
            for graph in subgraph.graphs:
                if graph is subgraph.exit_head and self._int8.isdisjoint(graph.layers):
                    # A head in fp32 pools floats too, so that its features are rounded nowhere.
                    continue
                found = self._coded_in(subgraph, graph, coded)
                if graph is subgraph.exit_head:
                    # Logits are compared, not computed on: they stay as exact as the last layer makes them.
                    found.pop(last_tensor(graph), None)
                elif graph is subgraph.stand_in:
                    # What comes out takes the form that the block's output has.
                    found.pop(subgraph.output_name, None)
                coded |= found
        coded.pop(self._plan[-1].output_name, None)
        for run in self._runs():
            if any(name in coded for name in run):
                # Any of them can come out of the gates, so all have one form.
                coded |= {name: coded.get(name) for name in run}
        return coded

    def _coded_in(
        self, subgraph: Subgraph, graph: Segment, known: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        readers = only_readers(graph)
        coded: dict[str, str | None] = {}
        on_codes: set[str] = set()
        for node in graph.nodes:
            name = subgraph.tensor(graph, node.name)
            sources = [subgraph.tensor(graph, ref) for ref in node.operands]
            is_layer = self._is_int8_layer(node)
            if is_layer:
                if node.operator in self._dynamic:
                    arrives_coded = any(sources[0] in names for names in (coded, known, on_codes))
                    after = readers.get(node.name)
                    stored = subgraph.tensor(graph, after.name) if after is not None and is_clamp(after) else name
                    if stored in self._wide or stored == self._plan[-1].output_name:
                        continue
                    if not arrives_coded and (sources[0] in self._wide or _is_large(graph, node)):
                        continue
                coded.setdefault(sources[0], None)
                if node.operator in self._float_outputs and name not in self._read_by_layers:
                    # A transformer's residual stream, say: few channels are so large that the others would share
                    # a handful of codes.
                    continue
            # What a norm reads next is joined in float32 too: on codes all parts are rounded to one grid first,
            # in a densely connected network once more for every layer that follows.
            in_float32 = self._joins_floats(node, name)
            in_float32 |= not is_layer and name in self._wide and name not in self._read_by_layers
            follows = (
                node.operator in self._on_integers
                and not in_float32
                and all(source in coded or source in known or source in on_codes for source in sources)
            )
            if not (is_layer or follows) or (node.layer is not None and not is_layer):
                continue
            on_codes.add(name)
            after = readers.get(node.name)
            keeps_params = OPERATORS[node.operator].quantization is Quantization.AGNOSTIC
            if after is not None and is_clamp(after) and not keeps_params:
                continue
            keeps_params &= name not in self._adapted and graph.name not in self._used_twice
            coded[name] = sources[0] if keeps_params else None
        return {name: owner for name, owner in coded.items() if name not in known}

    def _read_in_float32(self) -> frozenset[str]:
        """Tensors that something computes on in float32: a norm, say, or a concatenation that one reads."""
        read: set[str] = set()
        for node, name, sources in self._from_the_last():
            if self._is_int8_layer(node):
                continue
            if not self._may_compute_on_integers(node) or (_is_joined(node) and name in read):
                read.update(sources)
        return frozenset(read)

    def _read_as_codes(self) -> frozenset[str]:
        """Tensors that a layer in int8 reads, directly or through what is computed on integers; not for one that
        could read float32 as well."""
        read: set[str] = set()
        for node, name, sources in self._from_the_last():
            if self._is_int8_layer(node) and node.operator not in self._dynamic:
                read.add(sources[0])
            if self._may_compute_on_integers(node) and name in read:
                read.update(sources)
        return frozenset(read)

    def _from_the_last(self) -> Iterator[tuple[Node, str, list[str]]]:
        """All nodes, readers before makers, each with the names of its tensor and of those that it reads."""
        for subgraph in reversed(self._plan):
            for graph in reversed(subgraph.graphs):
                for node in reversed(graph.nodes):
                    sources = [subgraph.tensor(graph, ref) for ref in node.operands]
                    yield node, subgraph.tensor(graph, node.name), sources

    def _joins_floats(self, node: Node, name: str) -> bool:
        return _is_joined(node) and name in self._read_by_floats

    def _is_int8_layer(self, node: Node) -> bool:
        return is_quantizable_layer(node) and node.layer in self._int8

    def _may_compute_on_integers(self, node: Node) -> bool:
        return node.layer is None and node.operator in self._on_integers

    def _groups(self, coded: Mapping[str, str | None]) -> list[SharedScaleGroup]:
        """One for each run of gated blocks, and what their input takes its parameters over from."""
        groups: list[SharedScaleGroup] = []
        for run in self._runs():
            if run[0] not in coded:
                continue
            # What goes in may have come through a pool, which works on codes where both sides share parameters.
            owner = coded[run[0]]
            known = any(owner in group.names for group in groups)
            names = tuple(run) if owner is None or known else (owner, *run)
            groups.append(SharedScaleGroup(names, union(self._range(name) for name in names)))
        return groups

    def _runs(self) -> list[list[str]]:
        """Tensors around runs of gated blocks that pass their input on: what goes in, what comes out of each."""
        runs: list[list[str]] = []
        inside = False
        for subgraph in self._plan:
            passes = subgraph.gated and subgraph.stand_in is None
            if passes and not inside:
                runs.append([subgraph.input_name])
            if passes:
                runs[-1].append(subgraph.output_name)
            inside = passes or (inside and subgraph.graph is None)
        return runs
