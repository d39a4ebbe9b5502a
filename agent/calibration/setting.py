"""A candidate of the search: how far each block's skip rate and each layer group's precision have been turned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.models.graph import Segment
from agent.models.ladder import Activation, Precision

RATES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Share of samples that a block's threshold would skip; 1 is a static skip, with no gate to compute."""

PRECISIONS = (Precision.FP32, Precision.BF16, Precision.INT8)


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that change precision together."""

    name: str
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One step down: a block to a higher skip rate, or a group to a lower precision."""

    target: str
    to: float | Precision

    def __str__(self) -> str:
        return f"{self.target} -> {self.to if isinstance(self.to, Precision) else f'skip {self.to:.0%}'}"


@dataclass(frozen=True, slots=True)
class Setting:
    """All knobs at one candidate; satisfies `agent.models.knobs.Knobs`."""

    rates: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    precision: Precision = Precision.FP32
    layer_precision: Mapping[str, Precision] = field(default_factory=dict)
    activations: Mapping[str, Activation] = field(default_factory=dict)
    resolution: tuple[int, int] | None = None

    def with_rate(self, block: str, rate: float, tau: float) -> "Setting":
        """The block at a skip rate; `tau` is its threshold unless the rate is 1."""
        thresholds = {name: value for name, value in self.thresholds.items() if name != block}
        if rate < 1:
            thresholds[block] = max(tau, self.thresholds.get(block, tau))
        skip = self.skip | {block} if rate == 1 else self.skip
        return replace(self, rates={**self.rates, block: rate}, thresholds=thresholds, skip=skip)

    def with_precision(self, group: Group, precision: Precision) -> "Setting":
        """The group's layers at a precision."""
        changed = dict.fromkeys(group.layers, precision)
        return replace(self, layer_precision={**self.layer_precision, **changed})

    def normal(self, layers: frozenset[str]) -> "Setting":
        """The same setting, with the one precision that all layers share as the default, where they share one."""
        used = {self.layer_precision.get(layer, self.precision) for layer in layers}
        if len(used) > 1:
            return self
        return replace(self, precision=used.pop(), layer_precision={})


def moves(setting: Setting, blocks: tuple[Segment, ...], groups: tuple[Group, ...]) -> Iterator[Move]:
    """Every single step down from a setting."""
    for block in blocks:
        rate = setting.rates.get(block.name, 0.0)
        if rate < 1:
            yield Move(block.name, RATES[RATES.index(rate) + 1])
    for group in groups:
        precision = setting.layer_precision.get(group.layers[0], setting.precision)
        if precision is not PRECISIONS[-1]:
            yield Move(group.name, PRECISIONS[PRECISIONS.index(precision) + 1])
