"""Input resolution as a knob: smaller images through the same graph, where the graph allows it."""

from torch import Tensor
from torch.nn import functional

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.support import at_resolution
from tidegate.models.network import Network


def resized(images: Tensor, resolution: tuple[int, int] | None) -> Tensor:
    """(samples, channels, height, width) at another height and width, bilinear with antialiasing."""
    if resolution is None or tuple(images.shape[2:]) == resolution:
        return images
    return functional.interpolate(images, resolution, mode="bilinear", antialias=True, align_corners=False)


def runs_at(network: Network, resolution: tuple[int, int]) -> bool:
    """Whether the network runs on images of this height and width."""
    try:
        at_resolution(network, resolution)
    except UnsupportedPoint:
        return False
    return True
