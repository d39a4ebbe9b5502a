"""Blocks found in networks of every kind in view, cut out without a change to what the network computes."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.data.digits.net import DigitsNet
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.discovery import DiscoveryError, cut_at_blocks, discover
from tidegate.models.importing.export import Exported, ExportError, export_module
from tidegate_bench.ladder.nets import InvertedResidual, SmallMobileNet, SmallTransformer

pytestmark = pytest.mark.long


class PreActivation(nn.Module):
    """A batch norm with no convolution before it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(torch.relu(self.norm(x)))


def mlp() -> nn.Module:
    block = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), block, nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))


def encoder(*, norm_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(5, 8), body, nn.Flatten(), nn.Linear(7 * 8, 3))


def vision_transformer() -> nn.Module:
    return SmallTransformer(layers=2)


NETS: list[tuple[str, Callable[[], nn.Module], tuple[int, ...], int]] = [
    ("residual CNN", lambda: DigitsNet((4, 8), (2, 2)), (1, 8, 8), 4),
    ("inverted residuals", SmallMobileNet, (1, 8, 8), 6),
    ("pre-norm encoder", vision_transformer, (1, 8, 8), 4),
    ("pre-norm encoder of torch", lambda: encoder(norm_first=True), (7, 5), 4),
    ("post-norm encoder of torch", lambda: encoder(norm_first=False), (7, 5), 4),
    ("plain MLP", mlp, (5,), 2),
    (
        "pre-activation CNN",
        lambda: nn.Sequential(PreActivation(), PreActivation(), nn.Flatten(), nn.Linear(64, 3)),
        (4, 4, 4),
        2,
    ),
]


def made(make: Callable[[], nn.Module]) -> nn.Module:
    """With batch norms that do something."""
    torch.manual_seed(0)
    module = make().eval()
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            assert child.running_mean is not None
            assert child.running_var is not None
            child.running_mean.normal_()
            child.running_var.uniform_(0.5, 2)
    return module


@cache
def exported(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Exported:
    """What `discover` looks for blocks in; torch takes seconds for it."""
    return export_module(made(make), torch.zeros(2, *shape), as_vector=True)


@pytest.mark.parametrize(("make", "shape", "blocks"), [net[1:] for net in NETS], ids=[net[0] for net in NETS])
def test_blocks_are_found_and_the_function_is_kept(
    make: Callable[[], nn.Module], shape: tuple[int, ...], blocks: int
) -> None:
    module = made(make)
    network = cut_at_blocks(exported(make, shape)).network
    assert sum(segment.skippable for segment in network.segments) == blocks
    engine = EagerEngine(network)
    for samples in (1, 4):
        x = torch.randn(samples, *shape)
        with torch.no_grad():
            expected = module(x).numpy()
        outputs = engine.build(KnobSettings()).forward(x.numpy()).outputs
        assert np.allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())


def test_attention_and_mlp_of_an_encoder_layer_are_blocks_apart() -> None:
    network = cut_at_blocks(exported(vision_transformer, (1, 8, 8))).network
    blocks = [segment for segment in network.segments if segment.skippable]
    attends = ["scaled_dot_product_attention" in str(segment.nodes) for segment in blocks]
    assert attends == [True, False] * 2


def test_a_block_that_changes_shape_is_one_when_it_has_a_shortcut() -> None:
    network = discover(made(lambda: DigitsNet((4, 8), (1, 1))), torch.zeros(2, 1, 8, 8)).network
    downsample = next(segment for segment in network.segments if segment.name == "segments.downsample")
    assert not downsample.fixed
    assert not downsample.skippable


def test_what_is_no_block_is_said_with_its_reason() -> None:
    refused = dict(cut_at_blocks(exported(SmallMobileNet, (1, 8, 8))).refused)
    assert any("changes shape" in reason for reason in refused.values())


def test_the_user_may_name_the_blocks() -> None:
    network = cut_at_blocks(exported(SmallMobileNet, (1, 8, 8)), ["features.4", "features.3"]).network
    assert [segment.name for segment in network.segments if segment.skippable] == ["features.3", "features.4"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("features.99", "computes nothing there"),
        ("features.3.body.0", "other values pass around it"),
        ("features.6", "changes shape.*no shortcut"),
        ("head", "it gives the answer"),
    ],
)
def test_named_blocks_that_are_none_are_refused(name: str, words: str) -> None:
    with pytest.raises(DiscoveryError, match=words):
        cut_at_blocks(exported(SmallMobileNet, (1, 8, 8)), [name])


def test_overlapping_blocks_are_refused() -> None:
    with pytest.raises(DiscoveryError, match="overlap"):
        discover(made(mlp), torch.zeros(2, 5), blocks=["2", "2"])


def test_a_network_with_nothing_to_skip_always_runs_and_is_cut_where_samples_may_leave() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    found = discover(net.eval(), torch.zeros(2, 5))
    assert all(segment.fixed for segment in found.network.segments)
    assert [(each.name, each.output_shape) for each in found.network.segments] == [
        ("stem", (4,)),
        ("before-head", (6,)),
        ("head", (3,)),
    ]
    assert any("changes shape" in reason for _, reason in found.refused)


def test_what_lies_between_blocks_is_cut_where_the_smallest_value_crosses() -> None:
    """Behind the pool and not before it; a layer keeps the activation that follows it."""
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(96, 3)),
    )
    network = discover(net.eval(), torch.zeros(2, 1, 8, 8)).network
    assert [segment.output_shape for segment in network.segments] == [(4, 4, 4), (8, 4, 4), (96,), (3,)]


def test_where_the_user_names_the_blocks_samples_leave_before_these_alone() -> None:
    network = cut_at_blocks(exported(SmallMobileNet, (1, 8, 8)), ["features.4"]).network
    assert [segment.name for segment in network.segments] == ["stem", "features.4", "head"]


def test_an_answer_with_samples_elsewhere_is_refused() -> None:
    class Turned(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.transpose(0, 1) + 1

    with pytest.raises(ExportError, match="samples must stay along the first axis"):
        discover(Turned(), torch.zeros(2, 5))


def test_an_inverted_residual_without_room_to_add_changes_shape() -> None:
    assert InvertedResidual(4, 4).adds
    assert not InvertedResidual(4, 8).adds
