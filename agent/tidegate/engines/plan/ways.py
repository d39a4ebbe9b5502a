"""The ways through a network at a setting of the knobs: which graphs can run where. No torch here."""

from dataclasses import dataclass

from tidegate.models.graph import Segment
from tidegate.models.knobs import Knobs, stand_in_of
from tidegate.models.ladder import StandIn
from tidegate.models.network import Network, blocks_of


@dataclass(frozen=True, slots=True)
class Way:
    """One segment: whether it may run, what may stand in for it (None: identity), and the exit before it."""

    segment: Segment
    is_block: bool
    may_run: bool
    may_be_skipped: bool
    stand_in: Segment | None
    exit_head: Segment | None

    @property
    def graphs(self) -> tuple[Segment, ...]:
        """What can run here, in the order in which it would."""
        own = self.segment if self.may_run else None
        return tuple(graph for graph in (self.exit_head, own, self.stand_in) if graph is not None)


def ways_through(knobs: Knobs, network: Network) -> tuple[Way, ...]:
    """A way per segment, in order; for knobs that passed `check_knobs`."""
    blocks = {block.name for block in blocks_of(network)}
    return tuple(_way(segment, segment.name in blocks, knobs, network) for segment in network.segments)


def _way(segment: Segment, is_block: bool, knobs: Knobs, network: Network) -> Way:
    name = segment.name
    never = name in knobs.skip
    may_be_skipped = never or name in knobs.thresholds
    kind = stand_in_of(knobs, name)
    stand_in = network.stand_ins[name][kind] if may_be_skipped and kind is not StandIn.IDENTITY else None
    exit_head = network.exit_heads[name] if name in knobs.exits else None
    return Way(segment, is_block, not never, may_be_skipped, stand_in, exit_head)
