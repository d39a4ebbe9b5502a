"""Inference form: batch norms folded into the convolutions before them, the others into a scale and a shift."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tidegate_bench.zoo.segmented import NamedModule, Segmented


class ChannelAffine(nn.Module):
    """x * scale + shift per channel: what a batch norm is at inference."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        if norm.running_var is None or norm.running_mean is None:
            raise ValueError("a batch norm without running statistics depends on its batch and can't be folded")
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        self.scale = nn.Parameter(scale.detach()[:, None, None])
        self.shift = nn.Parameter((norm.bias - norm.running_mean * scale).detach()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same."""
        return x * self.scale + self.shift


def inference_segments(net: Segmented) -> list[NamedModule]:
    """Copies of the network's segments in evaluation mode without batch norms; the network is left alone."""
    copied = copy.deepcopy(net).eval()
    for module in list(copied.modules()):
        _fold_children(module)
    return copied.segments()


def _fold_children(parent: nn.Module) -> None:
    """Fold each norm that is registered right after a convolution of as many outputs: in all networks of the zoo
    it is applied right after it too, which the tests check by comparing outputs."""
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            if before is not None and before[1].out_channels == child.num_features:
                setattr(parent, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(parent, name, nn.Identity())
            else:
                setattr(parent, name, ChannelAffine(child))
        before = (name, child) if isinstance(child, nn.Conv2d) else None
