"""What operators are called with, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of an earlier node, or of the segment's input."""

    ref: str


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of weights.safetensors, by its full name."""

    weight: str


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The number of samples, where an operator wants it as a number."""

    batch: bool = True


Plain = str | bool | int | float | None
Argument = Ref | Weight | BatchSize | Plain | tuple["Argument", ...]

INPUT = "input"
"""The name under which nodes refer to the segment's input."""


class Call(Protocol):
    """What the rules of an operator read of a node; `shape` is that of the result, per sample."""

    @property
    def args(self) -> tuple[Argument, ...]:
        """Arguments by position, in the order of torch's schema."""

    @property
    def kwargs(self) -> Mapping[str, Argument]:
        """Arguments by the name in torch's schema."""

    @property
    def shape(self) -> Shape:
        """Shape of the result, per sample."""

    @property
    def leaves(self) -> tuple[Argument, ...]:
        """All arguments, those inside tuples too."""
