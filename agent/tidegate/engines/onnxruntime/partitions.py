"""The way through a network at one setting: which graphs run behind which gates, and where samples leave.

Pure. A way is cut where samples may leave, so that those that stay are closed up between two sessions and a batch
remains a batch. Measured on the shipped digits network: 10 us per cut against 9 us for an `If` around the rest,
which would have to take samples one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tidegate.engines.plan.ways import Way, ways_through
from tidegate.models.graph import INPUT, Segment
from tidegate.models.graph.bound_rules import NEVER_NEGATIVE, UNKNOWN, Bounds
from tidegate.models.graph.bounds import bounds_of
from tidegate.models.knobs import Knobs
from tidegate.models.ladder import Activity
from tidegate.models.network import Network, Shape


@dataclass(frozen=True, slots=True)
class Step:
    """One segment of the network: what runs in its place, None where its input is passed on.

    `into` and `out` name the values before and behind it: `segment/node`, "" for the network's input. A gated step
    runs `graph` where its gate is open, else `stand_in` (None: passes its input on); what comes out has one name,
    whichever of the two it came from. `head` gives the answers of samples that leave before it. `never_negative`
    says that no value that comes in is below 0.
    """

    name: str
    shape: Shape
    into: str
    graph: Segment | None
    is_block: bool = False
    gated: bool = False
    stand_in: Segment | None = None
    head: Segment | None = None
    never_negative: bool = False

    @property
    def out(self) -> str:
        """The value behind it."""
        return self.into if self.graph is None else last_value(self.graph)

    @property
    def always_runs(self) -> bool:
        """Whether it is a block that every sample runs."""
        return self.is_block and not self.gated and self.graph is not None and self.graph.name == self.name

    @property
    def stays_positive(self) -> bool:
        """Whether nothing that comes out is below 0."""
        given = NEVER_NEGATIVE if self.never_negative else UNKNOWN
        ends = [_end(graph, given) for graph in (self.graph, self.stand_in) if graph is not None]
        if self.graph is None or (self.gated and self.stand_in is None):
            ends.append(given)
        return all(end.never_negative for end in ends)

    @property
    def graphs(self) -> tuple[Segment, ...]:
        """All that can run in it, the exit's head first."""
        return tuple(graph for graph in (self.head, self.graph, self.stand_in) if graph is not None)

    def value(self, graph: Segment, node: str) -> str:
        """The name of a node's value in one of its graphs."""
        if node == INPUT:
            return self.into
        name = f"{graph.name}/{node}"
        return self.out if graph is self.stand_in and name == last_value(graph) else name


@dataclass(frozen=True, slots=True)
class Partition:
    """Steps in one session. Behind them samples may leave, before the block of `leaving`, by its head."""

    steps: tuple[Step, ...]
    leaving: Step | None = None

    @property
    def gated(self) -> tuple[Step, ...]:
        """The steps with a gate, in order."""
        return tuple(step for step in self.steps if step.gated)

    @property
    def first(self) -> Step:
        """The step whose input comes in."""
        return self.steps[0] if self.steps or self.leaving is None else self.leaving

    @property
    def graphs(self) -> tuple[Segment, ...]:
        """All that can run in it."""
        inside = tuple(graph for step in self.steps for graph in step.graphs)
        head = None if self.leaving is None else self.leaving.head
        return inside if head is None else (*inside, head)


def steps_of(network: Network, knobs: Knobs) -> tuple[Step, ...]:
    """Every segment's step, in order."""
    steps: list[Step] = []
    value = ""
    previous: Shape | None = None
    never_negative = False
    for way in ways_through(knobs, network):
        step = replace(_step(way, value), never_negative=never_negative)
        if way.is_block:
            if knobs.activity is Activity.BLOCK_CHANGE and previous != step.shape:
                # With nothing to compare its input with, a block's change is infinite and its gate always open.
                step = replace(step, gated=False, stand_in=None)
            previous = step.shape
        value, never_negative = step.out, step.stays_positive
        steps.append(step)
    return tuple(steps)


def partitions_of(steps: Iterable[Step]) -> tuple[Partition, ...]:
    """The steps cut before every exit."""
    parts: list[Partition] = []
    inside: list[Step] = []
    for step in steps:
        if step.head is not None:
            parts.append(Partition(tuple(inside), step))
            inside = []
        inside.append(replace(step, head=None))
    return (*parts, Partition(tuple(inside)))


def settled(steps: Sequence[Step], shut: frozenset[str]) -> tuple[Step, ...]:
    """The steps without gates: those of the named blocks shut, the others open."""
    value = ""
    settled_steps = []
    for step in steps:
        graph = step.stand_in if step.gated and step.name in shut else step.graph
        settled_steps.append(replace(step, into=value, graph=graph, gated=False, stand_in=None))
        value = settled_steps[-1].out
    return tuple(settled_steps)


def last_value(graph: Segment) -> str:
    """The name of a graph's output."""
    return f"{graph.name}/{graph.nodes[-1].name}"


def _step(way: Way, into: str) -> Step:
    own = way.segment if way.may_run else way.stand_in
    gated = way.may_run and way.may_be_skipped
    return Step(
        way.segment.name,
        way.segment.input_shape,
        into,
        own,
        way.is_block,
        gated,
        way.stand_in if gated else None,
        way.exit_head,
    )


def _end(graph: Segment, given: Bounds) -> Bounds:
    """The bounds of what comes out of a graph."""
    return bounds_of(graph, given)[graph.nodes[-1].name]
