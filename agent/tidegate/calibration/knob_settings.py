"""A candidate of the search: how far every knob has been turned."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from tidegate.models.ladder import Activation, Activity, Precision, Ranges, StandIn


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers, by name, whose precision the search changes in one move."""

    name: str
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnobSettings:
    """All knobs at one candidate; satisfies `tidegate.models.knobs.Knobs`.

    `rates` and `exit_rates` are what thresholds and exits were made for: the share of samples, on part S, that
    skip the block or leave before it. `bits` and `zero_share` are what `activations` were made for: the width of
    every activation tensor, and the share of what activation functions give that is cut to zero.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    precision: Precision = Precision.FP32
    layer_precision: Mapping[str, Precision] = field(default_factory=dict)
    stand_ins: Mapping[str, StandIn] = field(default_factory=dict)
    exit_rates: Mapping[str, float] = field(default_factory=dict)
    exits: Mapping[str, float] = field(default_factory=dict)
    activity: Activity = Activity.MEAN_ABS
    activations: Mapping[str, Activation] = field(default_factory=dict)
    bits: int | None = None
    zero_share: float = 0.0
    resolution: tuple[int, int] | None = None
    threads: int = 1
    ranges: Ranges = field(default_factory=dict)

    def with_rate(
        self, block: str, rate: float, tau: float, stand_in: StandIn = StandIn.IDENTITY
    ) -> "KnobSettings":
        """The block at a skip rate; `tau` is its threshold unless the rate is 1."""
        thresholds = {name: value for name, value in self.thresholds.items() if name != block}
        stand_ins = {name: kind for name, kind in self.stand_ins.items() if name != block}
        if rate < 1:
            thresholds[block] = max(tau, self.thresholds.get(block, tau))
        if stand_in is not StandIn.IDENTITY:
            stand_ins[block] = stand_in
        skip = self.skip | {block} if rate == 1 else self.skip
        return replace(
            self, rates={**self.rates, block: rate}, thresholds=thresholds, skip=skip, stand_ins=stand_ins
        )

    def with_exit(self, block: str, rate: float, margin: float, head: Collection[str]) -> "KnobSettings":
        """An exit before the block for samples whose margin, 0..1, is higher; an exit's margin never rises.

        The layers of its `head` stay in fp32: in 8 bits it changed up to 6 answers in a hundred
        (docs/decisions/0008-exits-set-jointly.md).
        """
        lowered = min(margin, self.exits.get(block, margin))
        return replace(
            self,
            exit_rates={**self.exit_rates, block: rate},
            exits={**self.exits, block: lowered},
            layer_precision={**self.layer_precision, **dict.fromkeys(head, Precision.FP32)},
        )

    def with_precision(self, group: LayerGroup, precision: Precision) -> "KnobSettings":
        """The same with all layers of the group at a precision, whatever they had."""
        changed = dict.fromkeys(group.layers, precision)
        return replace(self, layer_precision={**self.layer_precision, **changed})

    def normal(self, layers: frozenset[str]) -> "KnobSettings":
        """The same setting, with the precision that these layers share as the default, where they share one."""
        used = {self.layer_precision.get(layer, self.precision) for layer in layers}
        if len(used) > 1:
            return self
        others = {layer: own for layer, own in self.layer_precision.items() if layer not in layers}
        return replace(self, precision=used.pop(), layer_precision=others)

    @property
    def runs_all(self) -> bool:
        """Whether every block runs for every sample."""
        return not (self.skip or self.thresholds or self.exits)

    @property
    def only_precisions(self) -> bool:
        """Whether nothing but the precisions of weights may have been turned."""
        return self.runs_all and not self.activations and self.resolution is None
