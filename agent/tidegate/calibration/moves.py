"""Single steps down from a setting: one block, one exit, one group of layers, all stored values or the images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.calibration.setting import Group, Setting
from tidegate.calibration.stored_values import StoredValues
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Precision, StandIn
from tidegate.models.network import Network, all_segments, blocks_of

RATES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Share of samples that a block's threshold would skip; 1 is a static skip, with no gate to compute."""

EXIT_RATES = (0.0, 0.25, 0.5, 0.75, 0.9)
"""Share of the samples arriving at an exit that would leave there."""

PRECISIONS = (Precision.FP32, Precision.INT8)
"""No engine computes in bf16. Int4 comes after these, for finer groups: layers of a stage differ in what they lose
by it."""


@dataclass(frozen=True, slots=True)
class SkipMove:
    """A block to a higher skip rate, with what then stands in for it."""

    block: str
    rate: float
    stand_in: StandIn

    def __str__(self) -> str:
        return f"{self.block}: skip {self.rate:.0%} by {self.stand_in}"


@dataclass(frozen=True, slots=True)
class ExitMove:
    """The exit before a block to a higher rate."""

    block: str
    rate: float

    def __str__(self) -> str:
        return f"{self.block}: {self.rate:.0%} leave before it"


@dataclass(frozen=True, slots=True)
class PrecisionMove:
    """A group of layers to a lower precision."""

    group: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.group}: weights in {self.precision}"


@dataclass(frozen=True, slots=True)
class ActivationMove:
    """AA-ReLU at every stored value: the width of all, and the share of activations that is cut to zero."""

    bits: int
    zero_share: float

    def __str__(self) -> str:
        return f"stored values: {self.bits} bits, {self.zero_share:.0%} of activations to zero"


@dataclass(frozen=True, slots=True)
class ResolutionMove:
    """Images to a smaller height and width."""

    resolution: tuple[int, int]

    def __str__(self) -> str:
        return f"images: {self.resolution[0]}x{self.resolution[1]}"


Move = SkipMove | ExitMove | PrecisionMove | ActivationMove | ResolutionMove


@dataclass(frozen=True, slots=True)
class Menu:
    """What a search may turn. By default nothing: each field adds moves.

    `groups` go down to int8 and `nibbles` from there to int4; `resolutions` are in order from large to small.
    """

    stand_ins: Mapping[str, tuple[StandIn, ...]] = field(default_factory=dict)
    exits: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    rates: Sequence[float] = RATES
    nibbles: tuple[Group, ...] = ()
    stored_values: StoredValues | None = None
    resolutions: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, network: Network, groups: tuple[Group, ...] = ()) -> "Menu":
        """All blocks and exits of a network, and these groups."""
        return cls(stand_ins_of(network), tuple(network.exit_heads), groups)

    def precisions_only(self) -> "Menu":
        """The same groups, and no blocks."""
        return Menu(groups=self.groups, nibbles=self.nibbles)

    def exits_only(self) -> "Menu":
        """The same exits, and nothing else."""
        return Menu(exits=self.exits)

    def moves(self, setting: Setting) -> Iterator[Move]:
        """Every single step down from a setting: to the next rate, and at once to the last one.

        A gate costs time wherever it stands, so that a small rate may not be worth its gate when a large one is.
        """
        for block, kinds in self.stand_ins.items():
            for rate in _next_and_last(self.rates, setting.rates.get(block, 0.0)):
                yield from (SkipMove(block, rate, kind) for kind in kinds)
        for block in self.exits:
            for rate in _next_and_last(EXIT_RATES, setting.exit_rates.get(block, 0.0)):
                yield ExitMove(block, rate)
        for group in self.groups:
            precision = precision_of(setting, group.layers[0])
            if precision in PRECISIONS[:-1]:
                yield PrecisionMove(group.name, PRECISIONS[PRECISIONS.index(precision) + 1])
        for group in self.nibbles:
            if {precision_of(setting, layer) for layer in group.layers} == {Precision.INT8}:
                yield PrecisionMove(group.name, Precision.INT4)
        if self.stored_values is not None:
            yield from (ActivationMove(*level) for level in self.stored_values.next_levels(setting))
        smaller = self.resolutions
        if setting.resolution in smaller:
            smaller = smaller[smaller.index(setting.resolution) + 1 :]
        yield from (ResolutionMove(resolution) for resolution in smaller[:1])


def _next_and_last(rates: Sequence[float], now: float) -> tuple[float, ...]:
    higher = rates[rates.index(now) + 1 :]
    return tuple(dict.fromkeys((*higher[:1], *higher[-1:])))


def stand_ins_of(network: Network) -> dict[str, tuple[StandIn, ...]]:
    """What may replace each block: identity where the shape allows it, and what the network holds for it."""
    return {
        block.name: (*([StandIn.IDENTITY] if block.skippable else []), *network.stand_ins.get(block.name, {}))
        for block in blocks_of(network)
    }


def groups_of(network: Network) -> tuple[Group, ...]:
    """Layers by what they belong to: all that always runs, or the blocks of one input shape and their stand-ins.

    Layers of a stage have much the same sensitivity; each by itself would make the search many times as long.
    """
    blocks = {block.name: block.input_shape for block in blocks_of(network)}
    stages = {shape: f"stage_{index + 1}" for index, shape in enumerate(dict.fromkeys(blocks.values()))}
    owner = {kind.name: block for block, kinds in network.stand_ins.items() for kind in kinds.values()}
    layers: dict[str, dict[str, None]] = {}
    for segment in all_segments(network):
        shape = blocks.get(owner.get(segment.name, segment.name))
        members = layers.setdefault("always" if shape is None else stages[shape], {})
        members.update(dict.fromkeys(segment.layers))
    return tuple(Group(name, tuple(members)) for name, members in layers.items() if members)


def nibble_groups_of(network: Network) -> tuple[Group, ...]:
    """Layers by segment, a block's together with those of its stand-ins and its fitted exit."""
    owner = {layer: segment.name for segment in network.segments for layer in segment.layers}
    for block, kinds in network.stand_ins.items():
        owner |= {layer: owner.get(layer, block) for graph in kinds.values() for layer in graph.layers}
    for block, head in network.exit_heads.items():
        owner |= {layer: owner.get(layer, block) for layer in head.layers}
    members: dict[str, list[str]] = {}
    for layer, segment in owner.items():
        members.setdefault(segment, []).append(layer)
    return tuple(Group(f"all of {segment}", tuple(layers)) for segment, layers in members.items())
