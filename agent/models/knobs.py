"""The knobs of an operating point that an engine turns: what a search varies before there are any figures."""

from collections.abc import Mapping
from typing import Protocol

from agent.models.ladder import Activation, Precision


class Knobs(Protocol):
    """A setting of gates and precisions; an `OperatingPoint` is one, so is a candidate of the search."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Activity threshold tau by block."""

    @property
    def skip(self) -> frozenset[str]:
        """Blocks that never run."""

    @property
    def precision(self) -> Precision:
        """The default for all layers."""

    @property
    def layer_precision(self) -> Mapping[str, Precision]:
        """Exceptions from the default, by layer."""

    @property
    def activations(self) -> Mapping[str, Activation]:
        """AA-ReLU by stored value, `segment.node`; a value not named is left as it is."""

    @property
    def resolution(self) -> tuple[int, int] | None:
        """Height and width that images are resized to; None leaves them as they come."""


def precision_of(knobs: Knobs, layer: str) -> Precision:
    """The precision in which a layer's weights are kept."""
    return knobs.layer_precision.get(layer, knobs.precision)
