"""The digits net: its shape, and that folding its norms changes nothing but rounding."""

import torch
from torch import Tensor, nn

from tidegate.calibration.data.digits.net import BLOCKS, ConvNorm, DigitsNet, Residual
from tidegate.models.importing.export_network import export_network


def net_with_statistics(blocks: tuple[int, int] = BLOCKS) -> DigitsNet:
    torch.manual_seed(0)
    net = DigitsNet((4, 6), blocks)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return net.eval()


def run(segments: list[tuple[str, nn.Module]], x: Tensor) -> Tensor:
    for _, segment in segments:
        x = segment(x)
    return x


def test_folded_norms_compute_the_same() -> None:
    net = net_with_statistics()
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        before = net(x)
        after = run(net.inference_segments(), x)
    assert torch.allclose(before, after, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, ConvNorm) for module in net.modules())


def test_blocks_can_be_skipped_and_nothing_else() -> None:
    assert [name for name in DigitsNet().segments if "block" in name] == [f"block_{i}" for i in range(1, 10)]
    network = export_network(net_with_statistics((2, 1)).inference_segments(), torch.zeros(2, 1, 8, 8))
    assert [s.name for s in network.segments if s.skippable] == ["block_1", "block_2", "block_3"]
    assert [s.name for s in network.segments if not s.skippable] == ["stem", "downsample", "head"]


def test_stochastic_depth_keeps_the_branch_in_the_mean() -> None:
    torch.manual_seed(0)
    block = Residual(2, 2, drop=0.5)
    x = torch.full((20_000, 2, 1, 1), 10.0)  # far from the final ReLU's bend, which would bias a mean
    with torch.no_grad():
        for norm in (block.conv1[1], block.conv2[1]):
            norm.momentum = 0.0
        dropped = block.train()(x).mean(0)
        block.drop = 0.0
        kept = block(x).mean(0)
    assert torch.allclose(dropped, kept, atol=0.1)


def test_nothing_is_dropped_when_not_training() -> None:
    torch.manual_seed(0)
    block = Residual(2, 2, drop=0.9).eval()
    x = torch.rand(3, 2, 4, 4)
    with torch.no_grad():
        assert torch.equal(block(x), block(x))
