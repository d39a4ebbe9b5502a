"""The routing paper's network: a stem where needed, equal blocks with a gate before each, a linear classifier."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tidegate.models.gates.activity import mean_abs
from tidegate.models.importing.export_network import export_network
from tidegate.models.network import TrainedNetwork


class PlainBlock(nn.Module):
    """The paper's: linear and ReLU, nothing beside it."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dimension, dimension)

    def forward(self, x: Tensor) -> Tensor:
        """(n, dimension) to the same."""
        return torch.relu(self.linear(x))


class ResidualBlock(nn.Module):
    """A branch beside a shortcut, so that to skip it changes less; pre-norm, twice as wide inside."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimension)
        self.wide = nn.Linear(dimension, 2 * dimension)
        self.narrow = nn.Linear(2 * dimension, dimension)

    def forward(self, x: Tensor) -> Tensor:
        """(n, dimension) to the same."""
        branch: Tensor = self.narrow(torch.relu(self.wide(self.norm(x))))
        return x + branch


@dataclass(frozen=True, slots=True)
class RoutingNet:
    """Named modules in the order in which they run; those named `block_N` are the ones to be skipped."""

    modules: Sequence[tuple[str, nn.Module]]
    shape: tuple[int, ...]

    def exported(self) -> TrainedNetwork:
        """As the engines run it."""
        return export_network(
            [(name, module.eval()) for name, module in self.modules], torch.zeros(2, *self.shape)
        )

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks."""
        return tuple(name for name, _ in self.modules if name.startswith("block_"))

    def published_skip_ratio(self, inputs: Tensor, tau: float) -> float:
        """The figure that the paper's code (section 3.1) would print: it computes every block and counts those
        whose activity is *above* the threshold as skipped."""
        counted, total, x = 0, 0, inputs
        with torch.no_grad():
            for name, module in self.modules:
                if name.startswith("block_"):
                    counted += int((mean_abs(x) > tau).sum())
                    total += len(x)
                x = module(x)
        return counted / total


def routing_net(
    dimension: int, layers: int, block: type[PlainBlock] | type[ResidualBlock], inputs: int = 0, classes: int = 0
) -> RoutingNet:
    """Blocks alone, or with a stem for flat inputs and a classifier for `classes`. Weights by torch's seed."""
    stem: list[tuple[str, nn.Module]] = []
    head: list[tuple[str, nn.Module]] = []
    if classes:
        stem = [("stem", nn.Sequential(nn.Flatten(), nn.Linear(inputs, dimension), nn.ReLU()))]
    blocks: list[tuple[str, nn.Module]] = [(f"block_{i + 1}", block(dimension)) for i in range(layers)]
    if classes:
        head = [("head", nn.Linear(dimension, classes))]
    return RoutingNet([*stem, *blocks, *head], (inputs or dimension,))
