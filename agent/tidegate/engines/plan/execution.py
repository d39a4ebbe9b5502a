"""The execution plan of a point: what runs in the place of every segment, behind which gate and exit. Pure."""

from dataclasses import dataclass, replace

from tidegate.models.graph import INPUT, Segment
from tidegate.models.graph.bound_rules import NEVER_NEGATIVE, UNKNOWN, Bounds
from tidegate.models.graph.bounds import bounds_of
from tidegate.models.knobs import Knobs, stand_in_of
from tidegate.models.ladder import Activity, StandIn
from tidegate.models.network import Network, Shape, blocks_of


@dataclass(frozen=True, slots=True)
class Subgraph:
    """One segment of the network at a setting: what runs in its place, None where its input is passed on.

    `input_name` and `output_name` are of the tensors before and behind it: `segment/node`, "" for the network's
    input. A gated one runs `graph` where its gate is open, else `stand_in` (None: passes its input on); what comes
    out has one name, whichever of the two it came from. `exit_head` gives the answers of samples that leave before
    it. `never_negative` says that no value that comes in is below 0; `with_signs` finds out.
    """

    segment: Segment
    input_name: str
    graph: Segment | None
    is_block: bool = False
    gated: bool = False
    stand_in: Segment | None = None
    exit_head: Segment | None = None
    never_negative: bool = False

    @property
    def name(self) -> str:
        """The segment's."""
        return self.segment.name

    @property
    def shape(self) -> Shape:
        """Of what comes in, per sample."""
        return self.segment.input_shape

    @property
    def output_name(self) -> str:
        """Of the tensor behind it."""
        return self.input_name if self.graph is None else last_tensor(self.graph)

    @property
    def output_shape(self) -> Shape:
        """Of what comes out, per sample."""
        return self.shape if self.graph is None else self.graph.output_shape

    @property
    def may_run(self) -> bool:
        """Whether the segment itself runs, always or where its gate is open."""
        return self.graph is self.segment

    @property
    def always_runs(self) -> bool:
        """Whether it is a block that every sample runs."""
        return self.is_block and not self.gated and self.may_run

    @property
    def replacement(self) -> Segment | None:
        """What runs where the segment doesn't; None passes the input on."""
        return self.stand_in if self.may_run else self.graph

    @property
    def gives_no_negative(self) -> bool:
        """Whether nothing that comes out is below 0."""
        given = NEVER_NEGATIVE if self.never_negative else UNKNOWN
        ends = [_end(graph, given) for graph in (self.graph, self.stand_in) if graph is not None]
        if self.graph is None or (self.gated and self.stand_in is None):
            ends.append(given)
        return all(end.never_negative for end in ends)

    @property
    def graphs(self) -> tuple[Segment, ...]:
        """All that can run in it, the exit's head first."""
        return tuple(graph for graph in (self.exit_head, self.graph, self.stand_in) if graph is not None)

    def tensor(self, graph: Segment, node: str) -> str:
        """The name of a node's tensor in one of its graphs."""
        if node == INPUT:
            return self.input_name
        name = f"{graph.name}/{node}"
        return self.output_name if graph is self.stand_in and name == last_tensor(graph) else name


ExecutionPlan = tuple[Subgraph, ...]
"""Every segment's subgraph, in order."""


def plan_execution(network: Network, knobs: Knobs) -> ExecutionPlan:
    """The plan of knobs that passed `check_knobs`."""
    blocks = {block.name for block in blocks_of(network)}
    subgraphs: list[Subgraph] = []
    value = ""
    previous: Shape | None = None
    for segment in network.segments:
        subgraph = _subgraph(segment, segment.name in blocks, knobs, network, value)
        if subgraph.is_block:
            if knobs.activity is Activity.BLOCK_CHANGE and previous != subgraph.shape:
                # With nothing to compare its input with, a block's change is infinite and its gate always open.
                subgraph = replace(subgraph, gated=False, stand_in=None)
            previous = subgraph.shape
        value = subgraph.output_name
        subgraphs.append(subgraph)
    return tuple(subgraphs)


def weights_of(plan: ExecutionPlan) -> tuple[str, ...]:
    """Names of the weights that can be needed, each once."""
    return tuple(dict.fromkeys(name for each in plan for graph in each.graphs for name in graph.weights))


def with_signs(plan: ExecutionPlan) -> ExecutionPlan:
    """The plan, each subgraph of which says whether what comes in is never negative."""
    signed: list[Subgraph] = []
    never_negative = False
    for subgraph in plan:
        signed.append(replace(subgraph, never_negative=never_negative))
        never_negative = signed[-1].gives_no_negative
    return tuple(signed)


def last_tensor(graph: Segment) -> str:
    """The name of a graph's output."""
    return f"{graph.name}/{graph.nodes[-1].name}"


def _subgraph(segment: Segment, is_block: bool, knobs: Knobs, network: Network, input_name: str) -> Subgraph:
    name = segment.name
    skipped, has_gate = name in knobs.skip, name in knobs.thresholds
    kind = stand_in_of(knobs, name) if skipped or has_gate else StandIn.IDENTITY
    stand_in = None if kind is StandIn.IDENTITY else network.stand_ins[name][kind]
    head = network.exit_heads[name] if name in knobs.exits else None
    if skipped:
        return Subgraph(segment, input_name, stand_in, is_block, exit_head=head)
    return Subgraph(segment, input_name, segment, is_block, has_gate, stand_in, head)


def _end(graph: Segment, given: Bounds) -> Bounds:
    """The bounds of what comes out of a graph."""
    return bounds_of(graph, given)[graph.nodes[-1].name]
