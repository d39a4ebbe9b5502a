"""A network as data: segments and where their weights come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from agent.models.graph import Segment

WeightArray = npt.NDArray[np.float32]
Shape = tuple[int, ...]


class Network(Protocol):
    """What an engine needs of a model; a `Bundle` is one."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """In the order in which they run."""

    @property
    def weight_shapes(self) -> Mapping[str, Shape]:
        """Shape of every weight by name."""

    def weights(self, names: Iterable[str]) -> Mapping[str, WeightArray]:
        """The named weights; callers copy what they keep."""


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network whose weights are in memory, as calibration has it before there is a bundle."""

    segments: tuple[Segment, ...]
    arrays: Mapping[str, WeightArray]

    @property
    def weight_shapes(self) -> Mapping[str, Shape]:
        """Shape of every weight by name."""
        return {name: array.shape for name, array in self.arrays.items()}

    def weights(self, names: Iterable[str]) -> Mapping[str, WeightArray]:
        """The named weights themselves, not copies."""
        return {name: self.arrays[name] for name in names}


def blocks_of(network: Network) -> tuple[Segment, ...]:
    """The skippable segments, in order."""
    return tuple(segment for segment in network.segments if segment.skippable)
