"""Steps down from a setting: a block, an exit or all exits, a group of layers, all activation tensors, images."""

from dataclasses import dataclass

from tidegate.models.ladder import Precision, StandIn


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
    """AA-ReLU at every activation tensor: the width of all, and the share of activations that is cut to zero."""

    bits: int
    zero_share: float

    def __str__(self) -> str:
        return f"activation tensors: {self.bits} bits, {self.zero_share:.0%} of activations to zero"


@dataclass(frozen=True, slots=True)
class ResolutionMove:
    """Images to a smaller height and width."""

    resolution: tuple[int, int]

    def __str__(self) -> str:
        return f"images: {self.resolution[0]}x{self.resolution[1]}"


@dataclass(frozen=True, slots=True)
class CascadeMove:
    """All exits at once: which share of all samples leaves before which block."""

    leaving: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.0%} before {block}" for block, share in self.leaving)
        return f"leaving: {shares or 'nobody'}"


Move = SkipMove | ExitMove | PrecisionMove | ActivationMove | ResolutionMove | CascadeMove
