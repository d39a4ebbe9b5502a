"""A network as data: segments and where their weights come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tidegate.models.graph import Segment
from tidegate.models.ladder import StandIn

if TYPE_CHECKING:  # the supervisor opens bundles and holds no tensors: numpy would cost it a quarter of its memory
    import numpy as np
    import numpy.typing as npt

StandIns = Mapping[str, Mapping[StandIn, Segment]]
"""By block and kind; identity needs no segment."""

WeightArray: TypeAlias = "npt.NDArray[np.float32]"
Shape = tuple[int, ...]


class Network(Protocol):
    """What an engine needs of a model; a `Bundle` is one."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """In the order in which they run."""

    @property
    def stand_ins(self) -> StandIns:
        """What may run in the place of blocks, with the block's input and output shapes."""

    @property
    def exit_heads(self) -> Mapping[str, Segment]:
        """By block: from that block's input to an answer, for samples that leave before it."""

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
    stand_ins: StandIns = field(default_factory=dict)
    exit_heads: Mapping[str, Segment] = field(default_factory=dict)
    weight_shapes: Mapping[str, Shape] = field(init=False, repr=False, compare=False)
    """Shape of every weight by name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_shapes", {name: array.shape for name, array in self.arrays.items()})

    def weights(self, names: Iterable[str]) -> Mapping[str, WeightArray]:
        """The named weights themselves, not copies."""
        return {name: self.arrays[name] for name in names}


@dataclass(frozen=True, slots=True)
class ReshapedNetwork:
    """Another network's weights under graphs that declare other shapes for its values."""

    original: Network
    segments: tuple[Segment, ...]
    stand_ins: StandIns
    exit_heads: Mapping[str, Segment]

    @property
    def weight_shapes(self) -> Mapping[str, Shape]:
        """Shape of every weight by name, as in `original`: only values have other shapes."""
        return self.original.weight_shapes

    def weights(self, names: Iterable[str]) -> Mapping[str, WeightArray]:
        """The named weights of `original`."""
        return self.original.weights(names)


def blocks_of(network: Network) -> tuple[Segment, ...]:
    """The segments that need not run, in order: their input, or a stand-in, can replace their output."""
    return tuple(segment for segment in network.segments if segment.skippable or segment.name in network.stand_ins)


def all_segments(network: Network) -> tuple[Segment, ...]:
    """All graphs of a network: its own, then stand-ins, then exit heads."""
    return (*body_segments(network), *network.exit_heads.values())


def body_segments(network: Network) -> tuple[Segment, ...]:
    """All graphs but those of exits."""
    return (*network.segments, *(segment for kinds in network.stand_ins.values() for segment in kinds.values()))
