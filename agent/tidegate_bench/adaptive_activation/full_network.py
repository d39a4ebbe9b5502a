"""A network of the zoo at full size, exported."""

from pathlib import Path

import torch

from tidegate.models.importing.export_network import export_network
from tidegate.models.network import TrainedNetwork
from tidegate_bench.zoo.catalog import ZOO
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.weights import load_weights


def full_network(name: str, resolution: int, weights: Path | None = None) -> TrainedNetwork:
    """A network of the zoo for images of that size; random weights when none are given. Raises WeightsError."""
    torch.manual_seed(0)
    net = ZOO[name].full()
    if weights is not None:
        load_weights(net, weights)
    example = torch.zeros(2, ZOO[name].channels, resolution, resolution)
    return export_network(inference_segments(net), example)
