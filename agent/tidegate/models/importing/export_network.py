"""A network from torch modules that are its segments already; `discovery` finds those of any other model."""

import torch
from torch import nn

from tidegate.models.importing.export import export_segment
from tidegate.models.network import TrainedNetwork, WeightArray


def export_network(segments: list[tuple[str, nn.Module]], example: torch.Tensor) -> TrainedNetwork:
    """Named modules, run one after the other, as a network; `example` is a batch (2 or more, *input shape).

    Raises ExportError.
    """
    exported = []
    arrays: dict[str, WeightArray] = {}
    x = example
    for name, module in segments:
        segment, weights = export_segment(name, module, x)
        exported.append(segment)
        arrays.update(weights)
        with torch.no_grad():
            x = module(x)
    return TrainedNetwork(tuple(exported), arrays)
