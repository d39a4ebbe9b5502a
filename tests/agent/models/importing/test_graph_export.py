"""A segment kept as data computes exactly what its module computes."""

import random

import pytest
import torch
from torch import Tensor, nn

from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.bundle.graph_file import SegmentModel
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.export import ExportError, export_segment
from tidegate.models.ladder import Precision
from tidegate.models.precision import store

CHANNELS, SIDE = 6, 8


class Branch(nn.Module):
    """Adds, scales and gates what its body gives to its input."""

    def __init__(self, body: nn.Module, scale: float) -> None:
        super().__init__()
        self.body = body
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.sigmoid(x) * self.body(x)


class Pooled(nn.Module):
    """Down to one vector per sample by mean and by flattening, then a linear layer on both."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(CHANNELS, 5)
        self.flat = nn.Linear(CHANNELS * 4, 5)
        self.pool = nn.AdaptiveAvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.mean(x.mean((2, 3))) + self.flat(self.pool(x).reshape(x.shape[0], -1))


def random_layer(rng: random.Random) -> nn.Module:
    kernel = rng.choice([1, 3])
    groups = rng.choice([1, 2, CHANNELS])
    choices = [
        nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, groups=groups, bias=rng.random() < 0.5),
        nn.LayerNorm([CHANNELS, SIDE, SIDE]),
        nn.ReLU(),
        nn.ReLU6(),
        nn.GELU(approximate=rng.choice(["none", "tanh"])),
        nn.SiLU(),
        nn.MaxPool2d(3, stride=1, padding=1),
        nn.AvgPool2d(3, stride=1, padding=1),
    ]
    return rng.choice(choices)


def random_module(seed: int) -> nn.Module:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    body = nn.Sequential(*(random_layer(rng) for _ in range(rng.randint(2, 5))))
    return nn.Sequential(
        Branch(body, rng.uniform(-2, 2)), *([Pooled()] if seed % 2 else [nn.Flatten()] if seed == 4 else [])
    )


def interpreted(module: nn.Module, example: Tensor) -> Interpreter:
    """Through the file format and back, so that the round trip is part of what is compared."""
    segment, weights = export_segment("part", module, example)
    again = SegmentModel.model_validate_json(SegmentModel.of(segment).model_dump_json()).segment()
    assert again == segment
    return Interpreter(again, {name: store(array, Precision.FP32) for name, array in weights.items()})


@pytest.mark.parametrize("seed", range(8))
def test_random_segments_compute_what_their_modules_compute(seed: int) -> None:
    module = random_module(seed).eval()
    compute = interpreted(module, torch.randn(2, CHANNELS, SIDE, SIDE))
    with torch.no_grad():
        for samples in (1, 2, 5):
            x = torch.randn(samples, CHANNELS, SIDE, SIDE)
            assert torch.equal(compute(x), module(x))


def test_only_a_segment_that_keeps_its_shape_is_a_block() -> None:
    example = torch.randn(2, 3, 4, 4)
    keeps, _ = export_segment("keeps", nn.Conv2d(3, 3, 3, padding=1), example)
    widens, _ = export_segment("widens", nn.Conv2d(3, 4, 3, padding=1), example)
    assert (keeps.skippable, widens.skippable) == (True, False)
    assert keeps.weights == ("keeps.weight", "keeps.bias")
    assert keeps.layers == ("keeps",)


def test_an_operator_off_the_list_is_refused_by_name() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft(x, dim=1).abs()

    with pytest.raises(
        ExportError, match=r"part: fft_rfft: operator aten\.fft_rfft\.default has no form in a graph"
    ):
        export_segment("part", Spectrum(), torch.randn(2, 3))


def test_a_module_that_returns_its_input_is_refused() -> None:
    with pytest.raises(ExportError, match="the output must be one tensor"):
        export_segment("part", nn.Identity(), torch.randn(2, 3))


def test_every_allowed_operator_exists_in_torch() -> None:
    for name in OPERATORS:
        _, packet, overload = name.split(".")
        assert getattr(getattr(torch.ops.aten, packet), overload)._schema.is_mutable is False


class WrittenInto(nn.Module):
    """Writes into a view of a value, and gives that value."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        y.view(-1, 2, 2).relu_()
        return y


def test_what_is_written_into_a_view_is_in_the_value() -> None:
    torch.manual_seed(0)
    module, x = WrittenInto(), torch.randn(3, 4)
    with torch.no_grad():
        assert torch.equal(interpreted(module, x)(x), module(x))
