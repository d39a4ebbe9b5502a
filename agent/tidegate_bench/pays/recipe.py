"""How a network of `bench pays` is made: its data, its layers, its training, and what it was ever used for."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor, nn
from torch.nn import functional

MAX_RATE = 4e-3


class Seen(StrEnum):
    """Whether a choice in tidegate was ever made by looking at a network's figures."""

    TUNED = "tuned on"
    LOOKED_AT = "looked at"
    HELD_BACK = "held back"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network of one data set, and how long it is trained on how many inputs; `kind` is for the table."""

    kind: str
    data: str
    make: Callable[[], nn.Module]
    epochs: int
    trained_on: int
    seen: Seen
    max_rate: float = MAX_RATE


class Sequence(nn.Module):
    """Modules one after the other, then the mean over positions and a linear head."""

    def __init__(self, *body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, classes)."""
        logits: Tensor = self.head(functional.adaptive_avg_pool2d(self.body(x), 1).flatten(1))
        return logits
