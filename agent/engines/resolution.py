"""Input resolution as a knob: smaller images through the same graph, where the graph allows it."""

import torch
from torch import Tensor
from torch.nn import functional

from agent.engines.interpreter import Interpreter
from agent.models.network import Network
from agent.models.precision import Fp32Weight


def resized(images: Tensor, resolution: tuple[int, int]) -> Tensor:
    """(samples, channels, height, width) at another height and width, bilinear with antialiasing."""
    if tuple(images.shape[2:]) == resolution:
        return images
    return functional.interpolate(images, resolution, mode="bilinear", antialias=True, align_corners=False)


def runs_at(network: Network, resolution: tuple[int, int]) -> str | None:
    """Why the network can't run on images of this size, None when it can. Tried on tensors without data."""
    first = network.segments[0].input_shape
    if len(first) != 3:
        return f"the model's input has shape {first}, only images (channels, height, width) have a resolution"
    x = torch.empty((1, first[0], *resolution), device="meta")
    weights = {
        name: Fp32Weight(torch.empty(shape, device="meta")) for name, shape in network.weight_shapes.items()
    }
    for segment in network.segments:
        try:
            x = Interpreter(segment, weights)(x)
        except (RuntimeError, ValueError) as error:
            return f"segment {segment.name}: {str(error).partition(chr(10))[0]}"
    declared = network.segments[-1].output_shape
    found = tuple(x.shape[1:])
    return None if found == declared else f"the output would have shape {found}, declared is {declared}"
