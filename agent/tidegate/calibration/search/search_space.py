"""What a search may turn on one network, from the knobs that its user left on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.calibration.fit.activation_statistics import collect_statistics
from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.search.activation_levels import ActivationLevels
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.layer_groups import segment_groups_of, stage_groups_of
from tidegate.calibration.search.moves import (
    ActivationMove,
    ExitMove,
    Move,
    PrecisionMove,
    ResolutionMove,
    SkipMove,
)
from tidegate.calibration.search.screening import is_screened
from tidegate.engines.engine import Array
from tidegate.engines.reference.resolution import runs_at
from tidegate.engines.reference.tracing import Tracer
from tidegate.engines.support import at_resolution
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Precision, StandIn
from tidegate.models.network import Network, all_segments, blocks_of

RATES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Share of samples that a block's threshold would skip; 1 is a static skip, with no gate to compute."""

ALL_OR_NONE = (0.0, 1.0)
MANY_BLOCKS = 16
"""Of a network whose moves are screened: with more, a block runs for all samples or for none. A step of the search
turns one block by one rate, and a hundred steps of a large network take hours."""

EXIT_RATES = (0.0, 0.25, 0.5, 0.75, 0.9)
"""Share of the samples arriving at an exit that would leave there."""

PRECISIONS = (Precision.FP32, Precision.INT8)
"""No engine computes in bf16. Int4 comes after these, for finer groups: layers of a stage differ in what they lose
by it."""

RESOLUTION_SHARES = (0.875, 0.75, 0.625, 0.5)
LEAST_SIDE = 16
"""Of images whose resolution is turned: smaller ones have hardly a pixel to lose."""

MULTIPLE = 8
"""Sides are multiples of this: networks halve their input three times and more."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What a search may turn. By default nothing: each field adds moves.

    Layers of `int8_groups` go down to int8, those of `int4_groups` from there to int4. `resolutions` are in order
    from large to small.
    """

    stand_ins: Mapping[str, tuple[StandIn, ...]] = field(default_factory=dict)
    exits: tuple[str, ...] = ()
    int8_groups: tuple[LayerGroup, ...] = ()
    rates: Sequence[float] = RATES
    int4_groups: tuple[LayerGroup, ...] = ()
    activation_levels: ActivationLevels | None = None
    resolutions: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, network: Network, groups: tuple[LayerGroup, ...] = ()) -> "SearchSpace":
        """All blocks and exits of a network, and these groups."""
        return cls(stand_ins_of(network), tuple(network.exit_heads), groups)

    def precisions_only(self) -> "SearchSpace":
        """Precisions and nothing else: down to int8 by group, to int4 by segment."""
        return SearchSpace(int8_groups=self.int8_groups, int4_groups=self.int4_groups)

    def moves(self, setting: KnobSettings) -> Iterator[Move]:
        """Every single step down from a setting: to the next rate, and at once to the last one.

        A gate costs time wherever it stands, so that a small rate may not be worth its gate when a large one is.
        """
        for block, kinds in self.stand_ins.items():
            for rate in _next_and_last(self.rates, setting.rates.get(block, 0.0)):
                yield from (SkipMove(block, rate, kind) for kind in kinds)
        for block in self.exits:
            for rate in _next_and_last(EXIT_RATES, setting.exit_rates.get(block, 0.0)):
                yield ExitMove(block, rate)
        for group in self.int8_groups:
            precision = precision_of(setting, group.layers[0])
            if precision in PRECISIONS[:-1]:
                yield PrecisionMove(group.name, PRECISIONS[PRECISIONS.index(precision) + 1])
        for group in self.int4_groups:
            if {precision_of(setting, layer) for layer in group.layers} == {Precision.INT8}:
                yield PrecisionMove(group.name, Precision.INT4)
        if self.activation_levels is not None:
            yield from (ActivationMove(*level) for level in self.activation_levels.next_levels(setting))
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


def search_space_of(network: Network, knobs: Collection[Knob], inputs: Array) -> SearchSpace:
    """The moves that the knobs allow; `inputs` (n, *input shape) show where activations lie."""
    levels = None
    if Knob.ACTIVATIONS in knobs:
        levels = ActivationLevels(collect_statistics(Tracer(network), inputs))
    return SearchSpace(
        stand_ins_of(network) if Knob.BLOCKS in knobs else {},
        tuple(network.exit_heads) if Knob.EXITS in knobs else (),
        stage_groups_of(network) if Knob.INT8 in knobs else (),
        ALL_OR_NONE if len(blocks_of(network)) > MANY_BLOCKS and is_screened(network, len(inputs)) else RATES,
        int4_groups=segment_groups_of(network) if {Knob.INT8, Knob.INT4} <= set(knobs) else (),
        activation_levels=levels,
        resolutions=tuple(_resolutions(network)) if Knob.RESOLUTION in knobs else (),
    )


def _resolutions(network: Network) -> Iterator[tuple[int, int]]:
    """Smaller sizes that the whole network runs at, its stand-ins and exits too, from large to small."""
    shape = network.segments[0].input_shape
    if len(shape) != 3 or min(shape[1:]) < 2 * LEAST_SIDE * min(RESOLUTION_SHARES):
        return
    for share in RESOLUTION_SHARES:
        height, width = (round(side * share / MULTIPLE) * MULTIPLE for side in shape[1:])
        if min(height, width) >= LEAST_SIDE and _runs_whole(network, (height, width)):
            yield height, width


def _runs_whole(network: Network, resolution: tuple[int, int]) -> bool:
    if not runs_at(network, resolution):
        return False
    return len(all_segments(at_resolution(network, resolution))) == len(all_segments(network))
