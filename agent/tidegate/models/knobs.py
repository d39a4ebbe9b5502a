"""The knobs of an operating point that an engine turns: what a search varies before there are any figures."""

from collections.abc import Mapping
from typing import Protocol

from tidegate.models.ladder import Activation, Activity, Precision, Ranges, StandIn


class Knobs(Protocol):
    """A setting of gates and precisions; an `OperatingPoint` is one, so is a candidate of the search."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Tau by block: the block runs for samples whose activity exceeds it."""

    @property
    def skip(self) -> frozenset[str]:
        """Names of blocks that run for no sample."""

    @property
    def activity(self) -> Activity:
        """What the thresholds are held against."""

    @property
    def stand_ins(self) -> Mapping[str, StandIn]:
        """What runs where a block does not; identity for blocks not named."""

    @property
    def exits(self) -> Mapping[str, float]:
        """Margin above which a sample leaves before a block, 0..1, by block."""

    @property
    def precision(self) -> Precision:
        """Of all layers that `layer_precision` does not name."""

    @property
    def layer_precision(self) -> Mapping[str, Precision]:
        """Exceptions from the default, by layer."""

    @property
    def activations(self) -> Mapping[str, Activation]:
        """AA-ReLU by activation tensor, `segment.node`; a value not named is left as it is."""

    @property
    def ranges(self) -> Ranges:
        """What 8-bit activations must hold; where there are none an engine measures for itself."""

    @property
    def resolution(self) -> tuple[int, int] | None:
        """Height and width that images are resized to; None leaves them as they come."""


def precision_of(knobs: Knobs, layer: str) -> Precision:
    """The precision in which a layer's weights are kept."""
    return knobs.layer_precision.get(layer, knobs.precision)


def stand_in_of(knobs: Knobs, block: str) -> StandIn:
    """What runs where the block does not."""
    return knobs.stand_ins.get(block, StandIn.IDENTITY)
