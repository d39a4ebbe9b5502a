"""The knobs of AdaptiveActivation: each has positions, 0 being where selection starts. A new knob is one class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tidegate.calibration.fit.activation_statistics import ActivationStatistics, uniform
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.activation_levels import BITS, ZERO_SHARES
from tidegate.models.graph import Segment
from tidegate.models.ladder import Activation, Precision


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting of everything that is turned here; threads belong to the operating point, not to the network."""

    setting: KnobSettings
    threads: int = 1


class Knob(Protocol):
    """One thing to turn."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def size(self) -> int:
        """Number of positions."""

    def turned(self, choice: Choice, position: int) -> Choice:
        """The choice with this knob at a position."""


@dataclass(frozen=True, slots=True)
class WeightKnob:
    """How a layer's weights are kept."""

    layer: str
    precisions: tuple[Precision, ...] = (Precision.INT8, Precision.INT4)

    @property
    def name(self) -> str:
        """`LAYER weights`."""
        return f"{self.layer} weights"

    @property
    def size(self) -> int:
        """Number of precisions."""
        return len(self.precisions)

    def turned(self, choice: Choice, position: int) -> Choice:
        """The layer's precision."""
        changed = {**choice.setting.layer_precision, self.layer: self.precisions[position]}
        return replace(choice, setting=replace(choice.setting, layer_precision=changed))


@dataclass(frozen=True, slots=True)
class BitsKnob:
    """How many bits an activation tensor has, with the clip that suits them."""

    found: ActivationStatistics
    bits: tuple[int, ...] = BITS

    @property
    def name(self) -> str:
        """`VALUE bits`."""
        return f"{self.found.tensor.name} bits"

    @property
    def size(self) -> int:
        """Number of widths."""
        return len(self.bits)

    def turned(self, choice: Choice, position: int) -> Choice:
        """Bits and clip; the threshold stays."""
        bits = self.bits[position]
        return _adapted(choice, self.found.tensor.name, clip=self.found.clip(bits), bits=bits)


@dataclass(frozen=True, slots=True)
class ZerosKnob:
    """The threshold behind an activation function."""

    found: ActivationStatistics
    shares: tuple[float, ...] = ZERO_SHARES

    @property
    def name(self) -> str:
        """`VALUE zeros`."""
        return f"{self.found.tensor.name} zeros"

    @property
    def size(self) -> int:
        """Number of shares."""
        return len(self.shares)

    def turned(self, choice: Choice, position: int) -> Choice:
        """The threshold; bits and clip stay."""
        return _adapted(choice, self.found.tensor.name, threshold=self.found.threshold(self.shares[position]))


@dataclass(frozen=True, slots=True)
class ResolutionKnob:
    """Height and width of the images."""

    resolutions: tuple[tuple[int, int], ...]
    name: str = "resolution"

    @property
    def size(self) -> int:
        """Number of resolutions."""
        return len(self.resolutions)

    def turned(self, choice: Choice, position: int) -> Choice:
        """The images' size."""
        return replace(choice, setting=replace(choice.setting, resolution=self.resolutions[position]))


@dataclass(frozen=True, slots=True)
class ThreadsKnob:
    """Threads of one inference."""

    threads: tuple[int, ...]
    name: str = "threads"

    @property
    def size(self) -> int:
        """Number of counts."""
        return len(self.threads)

    def turned(self, choice: Choice, position: int) -> Choice:
        """The count."""
        return replace(choice, threads=self.threads[position])


@dataclass(frozen=True, slots=True)
class TogetherKnob:
    """Several knobs of the same kind turned as one: coarse enough to try every combination."""

    name: str
    knobs: tuple[Knob, ...]

    @property
    def size(self) -> int:
        """Positions that all of them have."""
        return min(knob.size for knob in self.knobs)

    def turned(self, choice: Choice, position: int) -> Choice:
        """All of them at the position."""
        for knob in self.knobs:
            choice = knob.turned(choice, position)
        return choice


def uniform_int8(statistics: Mapping[str, ActivationStatistics]) -> KnobSettings:
    """The baseline: all weights int8, all activation tensors 8 bits."""
    return KnobSettings(precision=Precision.INT8, activations=uniform(statistics, 8))


def memory_knobs(segments: Sequence[Segment], statistics: Mapping[str, ActivationStatistics]) -> tuple[Knob, ...]:
    """Everything that cuts memory from uniform int8 on, in the order of the network."""
    layers = [layer for segment in segments for layer in segment.layers]
    return (*(WeightKnob(layer) for layer in layers), *activation_knobs(statistics))


def activation_knobs(statistics: Mapping[str, ActivationStatistics]) -> tuple[Knob, ...]:
    """Bits of every activation tensor, thresholds behind every activation function."""
    return (
        *(BitsKnob(found) for found in statistics.values()),
        *(ZerosKnob(found) for found in statistics.values() if found.tensor.is_activation),
    )


def coarse_knobs(segments: Sequence[Segment], statistics: Mapping[str, ActivationStatistics]) -> tuple[Knob, ...]:
    """A knob for each layer's weights, one for all bits, one for all zeros."""
    layers = [layer for segment in segments for layer in segment.layers]
    activations = [found for found in statistics.values() if found.tensor.is_activation]
    return (
        *(WeightKnob(layer) for layer in layers),
        TogetherKnob("all bits", tuple(BitsKnob(found, (8, 6, 4)) for found in statistics.values())),
        TogetherKnob("all zeros", tuple(ZerosKnob(found, (0.0, 0.2, 0.4)) for found in activations)),
    )


def _adapted(choice: Choice, tensor: str, **changes: float | int) -> Choice:
    setting = choice.setting
    adapted = replace(setting.activations.get(tensor, Activation()), **changes)  # type: ignore[arg-type]  # mypy can't tie names to types
    return replace(choice, setting=replace(setting, activations={**setting.activations, tensor: adapted}))
