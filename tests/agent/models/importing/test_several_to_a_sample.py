"""Layers on values that are several to a sample, and others that need a form of their own: equal to torch."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tidegate.calibration.candidate import candidate
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import target_engines
from tidegate.engines.engine import UnsupportedPoint
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.export import ExportError, export_module

FRAMES, IMAGE, FILM, STEPS = (3, 4, 9, 8), (4, 10, 9), (2, 5, 6, 6), (12, 8)
SAMPLES = 5


class Applied(nn.Module):
    """A layer in a function of it and the input."""

    def __init__(self, layer: nn.Module, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer, x)


def by_frame(layer: nn.Module) -> nn.Module:
    """Each frame as a sample of its own."""
    return Applied(layer, lambda own, x: own(x.flatten(0, 1)).unflatten(0, (-1, x.shape[1])))


def by_step(layer: nn.Module) -> nn.Module:
    return Applied(layer, lambda own, x: own(x.reshape(-1, x.shape[2])).reshape(-1, 12, 8))


def over_pairs(layer: nn.Module, x: Tensor) -> Tensor:
    """The input and its mirror image behind one another, as if they were more samples."""
    both = layer(torch.cat([x, x.flip(3)], 0))
    return both[: x.shape[0]] - both[x.shape[0] :] / 2


def with_statistics(layer: nn.Module) -> nn.Module:
    for norm in layer.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean, norm.running_var = (
                torch.randn(norm.num_features),
                torch.rand(norm.num_features) + 0.5,
            )
    return layer


def written(_: nn.Module, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 1:, :3] = x[:, :-1, :3]
    y[:, :, 3:] = x[:, :, 3:] * 2
    y[:, 0] = 0.25
    return y


def looped(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.reshape(len(x), -1))


def asked(layer: nn.Module, x: Tensor) -> Tensor:
    query = torch.linspace(-1, 1, 8).reshape(1, 1, 8).repeat(x.shape[0], 1, 1)
    answer, shares = layer(query, x, x)
    return torch.cat([answer.flatten(1), shares.flatten(1)], 1)


def two_for_each(_: nn.Module, x: Tensor) -> Tensor:
    """Two queries for each head of keys."""
    heads = x.reshape(-1, 12, 4, 2).transpose(1, 2)
    keys = heads[:, ::2]
    return functional.scaled_dot_product_attention(heads, keys, keys + 1, enable_gqa=True)


GROUPS: Mapping[tuple[int, ...], Mapping[str, nn.Module]] = {
    FRAMES: {
        "a convolution with padding": by_frame(nn.Conv2d(4, 6, 3, 2, 1)),
        "one with gaps and groups": by_frame(nn.Conv2d(4, 8, (3, 2), (2, 1), (2, 0), (2, 1), groups=2)),
        "one of single points": by_frame(nn.Conv2d(4, 3, 1, bias=False)),
        "a transposed one": by_frame(nn.ConvTranspose2d(4, 3, 4, 2, 1, output_padding=1)),
        "a batch norm by itself": by_frame(with_statistics(nn.BatchNorm2d(4))),
        "one behind a layer": by_frame(with_statistics(nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)))),
        "a group norm": by_frame(nn.GroupNorm(2, 4)),
        "pools": by_frame(nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2))),
        "a larger image": by_frame(nn.Upsample(scale_factor=2, mode="bilinear")),
        "mirrored edges": by_frame(nn.ReflectionPad2d(2)),
        "squares of channels": by_frame(nn.PixelShuffle(2)),
        "lengths": by_frame(Applied(nn.Identity(), lambda _, x: functional.normalize(x, dim=1).clamp(min=0.1))),
        "running sums": by_frame(Applied(nn.Identity(), lambda _, x: x.cumsum(2) + x.std(3, keepdim=True))),
    },
    IMAGE: {
        "a mirror image as another sample": Applied(nn.Conv2d(4, 3, 3), over_pairs),
        "largest of unequal windows": nn.AdaptiveMaxPool2d((4, 3)),
        "windows folded back, that overlap": Applied(
            nn.Identity(), lambda _, x: functional.fold(functional.unfold(x, 3, padding=1), (10, 9), 3, padding=1)
        ),
        "windows folded back side by side": Applied(
            nn.Identity(), lambda _, x: functional.fold(x.reshape(-1, 12, 30), (12, 10), (2, 2), stride=2)
        ),
        "a mean beyond the edge": nn.AvgPool2d(40, ceil_mode=True),
    },
    FILM: {
        "a convolution over a film": nn.Conv3d(2, 3, 3, (2, 1, 1), 1),
        "one by channel": nn.Conv3d(2, 4, (3, 1, 1), padding=(1, 0, 0), groups=2),
        "pools over a film": nn.Sequential(nn.MaxPool3d(3, 1, 1), nn.AvgPool3d((2, 3, 3), (1, 2, 2))),
        "a norm over channels": nn.LocalResponseNorm(3),
        "the mean of a film": nn.AdaptiveAvgPool3d(1),
    },
    STEPS: {
        "a batch norm by step": by_step(with_statistics(nn.BatchNorm1d(8))),
        "one behind a linear layer": by_step(with_statistics(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)))),
        "a group norm by step": by_step(nn.GroupNorm(2, 8)),
        "a convolution of one length": nn.Conv1d(12, 5, 4, padding="same"),
        "a transposed one over time": nn.ConvTranspose1d(12, 5, 4, 2, 1),
        "windows of time": Applied(nn.Identity(), lambda _, x: x.unfold(1, 4, 3)),
        "parts that are written": Applied(nn.Identity(), written),
        "known places": Applied(
            nn.Identity(),
            lambda _, x: x.gather(2, (torch.arange(96).reshape(1, 12, 8) * 5 % 8).expand(x.shape[0], -1, -1)),
        ),
        "one question of all": Applied(nn.MultiheadAttention(8, 2, batch_first=True), asked),
        "keys of another width": Applied(
            nn.MultiheadAttention(6, 2, kdim=8, vdim=8, batch_first=True), lambda own, x: own(x[..., :6], x, x)[0]
        ),
        "queries that share keys": Applied(nn.Identity(), two_for_each),
        "three in one product": Applied(
            nn.Identity(), lambda _, x: torch.einsum("nij,nik,njk->nik", x, x, x[:, :8].softmax(1))
        ),
    },
}


class Together(nn.Module):
    """All of a group, behind one another: one export for all."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts.values())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x).flatten(1) for part in self.parts], 1)


@pytest.mark.long
@pytest.mark.parametrize("shape", GROUPS)
def test_engines_answer_as_torch_does(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    group, inputs = GROUPS[shape], torch.randn(SAMPLES, *shape)
    model = Together(group).eval()
    with torch.no_grad():
        expected = {name: part.eval()(inputs).flatten(1).numpy() for name, part in group.items()}
    network = discover(model, inputs[:2]).network
    for host in target_engines(("eager", "onnx", "litert")):
        try:
            found = host.over(network).prepare(candidate(KnobSettings(), host.name)).run(inputs.numpy()).outputs
        except UnsupportedPoint:
            assert host.name == "litert"
            continue
        start = 0
        for name, wanted in expected.items():
            part = found[:, start : start + wanted.shape[1]]
            start += wanted.shape[1]
            assert np.abs(part - wanted).max() < 1e-4 * max(1, np.abs(wanted).max()), (host.name, name)


def test_len_is_taken() -> None:
    model, inputs = Applied(nn.Linear(8, 3), looped).eval(), torch.randn(SAMPLES, 2, 4)
    network = discover(model, inputs[:2]).network
    with torch.no_grad():
        expected = model(inputs).numpy()
    for host in target_engines(("eager",)):
        found = host.over(network).prepare(candidate(KnobSettings(), host.name)).run(inputs.numpy()).outputs
        assert np.abs(found - expected).max() < 1e-5


def test_padding_differs_by_sample() -> None:
    class Texts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(20, 8)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            encoded: Tensor = self.layer(self.words(x), src_key_padding_mask=x == 0)
            return encoded[:, 0]

    torch.manual_seed(0)
    model, words = Texts().eval(), torch.randint(0, 4, (SAMPLES, 9)) * torch.tensor([1] * 3 + [0, 1] * 3)
    with torch.no_grad():
        expected = model(words).numpy()
    network = discover(model, words[:2]).network
    for host in target_engines(("eager", "onnx")):
        found = host.over(network).prepare(candidate(KnobSettings(), host.name)).run(words.float().numpy()).outputs
        assert np.abs(found - expected).max() < 1e-4, host.name


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (
            Applied(
                nn.Identity(),
                lambda _, x: functional.max_unpool2d(*functional.max_pool2d(x, 2, return_indices=True), 2),
            ),
            (4, 8, 8),
            "where the largest values were; unpool by interpolation",
        ),
        (
            Applied(
                nn.MultiheadAttention(8, 2, add_zero_attn=True, batch_first=True), lambda own, x: own(x, x, x)[0]
            ),
            (5, 8),
            "add_zero_attn has no form in a graph; make it without",
        ),
        (
            Applied(
                nn.Identity(),
                lambda _, x: functional.conv2d(
                    x.reshape(1, -1, 6, 6), x[:, :, None, :3, :3].flatten(0, 1), groups=x.shape[0] * 4
                ),
            ),
            (4, 6, 6),
            "kernel that is computed from the input has no form",
        ),
    ],
)
def test_what_has_no_form_is_refused_with_words(layer: nn.Module, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        export_module(layer.eval(), torch.randn(2, *shape))
