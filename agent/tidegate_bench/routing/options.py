"""What both experiments of the routing paper can be asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingOptions:
    """The paper's options with its defaults; `output` takes the CSV, with a picture beside it."""

    dim: int = 128
    layers: int = 6
    threshold: float = 0.1
    batch_size: int = 64
    runs: int = 5
    seed: int = 42
    output: Path | None = None
