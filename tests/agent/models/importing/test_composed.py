"""Operators that graphs say with several, and values whose samples lie elsewhere, answer as torch does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle.graph_file import SegmentModel
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.export import ExportError, export_module, legal_names
from tidegate.models.importing.one_output import with_one_output


class OfImages(nn.Module):
    """What is done to images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding="same")
        self.slopes = nn.PReLU(8)
        self.register_buffer("mask", torch.rand(8, 8) > 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slopes(self.conv(functional.pad(x, (1, 2, 0, 1), mode="reflect"))[:, :, :8, :8])
        x = functional.softplus(x) - functional.glu(torch.cat([x, x.clamp(min=-0.5)], 1), 1)
        x = x.masked_fill(self.mask, 0.25) + torch.where(self.mask, x, x.abs())
        x = torch.roll(x, (3, -2), (2, 3)) / (1 + x.square()) + functional.pixel_unshuffle(
            functional.pixel_shuffle(x, 2), 2
        )
        x = functional.interpolate(x, (5, 11), mode="bicubic") + functional.interpolate(
            x, (5, 11), mode="bilinear", antialias=True
        )
        windows = functional.unfold(x, (2, 3), stride=(2, 3)).reshape(x.shape[0], 8, 6, -1).amax(2)
        return torch.cat([windows.flatten(1), x.var((2, 3)), x.sum((2, 3)), x.norm(dim=(2, 3))], 1)


class OfTokens(nn.Module):
    """What is done to sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8) / 8)
        self.bias = nn.Parameter(torch.randn(8) / 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x @ self.weight + self.bias
        x = x.log_softmax(-1) + torch.stack([x.exp(), torch.rsub(x, 1)], 1).mean(1) + x.cumsum(-1)
        x = x[:, torch.tensor([2, 0, 1, 5, 4, 3])] + x.flip(1) + x.mean(1, keepdim=True).expand(-1, 6, -1)
        causal = functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        rows = torch.arange(6)
        masked = functional.scaled_dot_product_attention(x, x, x, rows[:, None] >= rows[None], scale=0.3)
        scaled = causal + masked + torch.maximum(x, -x) * torch.rsqrt(x * x + 1) + x.minimum(torch.ones(()))
        edge = torch.zeros(x.shape[0], 1, 8)
        return torch.cat([edge, scaled.repeat(1, 2, 1), edge], 1).pow(3)


class Windows(nn.Module):
    """Attention within windows, which are joined with the samples in one axis, with a bias of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(8, 24), nn.Linear(8, 8), nn.LayerNorm(8)
        self.bias = nn.Parameter(torch.randn(2, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, channels = x.shape
        windows = x.view(n, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
        windows = self.norm(windows.reshape(-1, 4, channels))
        query, key, value = self.qkv(windows).reshape(-1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        shares = (query @ key.transpose(-2, -1) + self.bias.unsqueeze(0)).softmax(-1)
        mixed = self.out((shares @ value).transpose(1, 2).reshape(-1, 4, channels))
        mixed = mixed.view(n, height // 2, width // 2, 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
        return x + mixed.reshape(n, height, width, channels)


class TimeFirst(nn.Module):
    """An encoder with time before samples, then a recurrent layer read both ways."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.memory, self.head = nn.LSTM(8, 4, bidirectional=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(self.encoder(x.transpose(0, 1)))[0][-1])


class InADict(nn.Module):
    """Half precision, weight norm, an answer among others, and a count of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))
        self.last = nn.Linear(5, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> dict[str, object]:
        self.calls += 1
        hidden = torch.relu(self.first(x))
        return {"hidden": [hidden], "logits": self.last(hidden)}


def answers_of(module: nn.Module, x: Tensor) -> np.ndarray:
    network = discover(module, x[:2]).network
    return EagerEngine(network).build(KnobSettings()).forward(x.numpy()).outputs


@pytest.mark.parametrize(
    ("make", "shape"),
    [(OfImages, (2, 8, 8)), (OfTokens, (6, 8)), (Windows, (4, 6, 8)), (TimeFirst, (2, 8))],
)
def test_the_graph_answers_as_the_module(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module, x = make().eval(), torch.randn(5, *shape)
    with torch.no_grad():
        expected = module(x).flatten(1).numpy()
    assert np.abs(answers_of(module, x) - expected).max() < 1e-4 * max(1, np.abs(expected).max())


class Unlimited(nn.Module):
    """Limits that are none, as JAX writes its softmax."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(torch.tensor(-torch.inf), x.clamp(max=torch.inf)) - x.minimum(torch.tensor(torch.inf))


def test_infinite_limits_are_the_same_in_a_file() -> None:
    network = discover(nn.Sequential(nn.Linear(4, 4), Unlimited()), torch.zeros(2, 4)).network
    for segment in network.segments:
        written = SegmentModel.of(segment).model_dump_json()
        assert SegmentModel.model_validate_json(written).segment() == segment


def test_one_of_several_outputs_is_taken_and_the_module_stays_as_it_was() -> None:
    torch.manual_seed(0)
    module, x = InADict().eval(), torch.randn(4, 6)
    one, chosen = with_one_output(module, x, None)
    assert (chosen, module.calls) == ("logits", 0)
    answers = answers_of(one, x)
    assert module.calls == 0
    with torch.no_grad():
        assert np.allclose(answers, module(x)["logits"].numpy(), atol=1e-5)
        hidden, _ = with_one_output(module, x, "hidden.0")
        assert hidden(x).shape == (4, 5)
        both, chosen = with_one_output(module, x, "logits,hidden.0")
        assert chosen == "logits,hidden.0"
        assert torch.equal(both(x), torch.cat([module(x)["logits"], hidden(x)], 1))
    assert "first.parametrizations.weight.original1" not in dict(export_module(one, x).weights)
    with pytest.raises(ExportError, match=r"--output nothing: the model gives hidden\.0, logits"):
        with_one_output(module, x, "nothing")


@pytest.mark.parametrize(
    "mix",
    [
        lambda y: y / y.shape[0],
        lambda y: y - y.mean(0),
        lambda y: y.softmax(0),
        lambda y: y + torch.arange(y.shape[0]).float()[:, None],
        lambda y: y[:1] + y,
        lambda y: y * y.sum(),
    ],
)
def test_an_answer_that_other_samples_change_is_refused(mix: Callable[[Tensor], Tensor]) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return mix(self.layer(x))

    with pytest.raises(ExportError, match="samples"):
        export_module(Mixed().eval(), torch.randn(2, 3))


def test_every_place_that_no_graph_can_say_is_told_at_once() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first = torch.fft.rfft(x, dim=1).abs() * 2
            return first + x.sort(1).values[:, :3]

    with pytest.raises(ExportError) as refused:
        export_module(Twice(), torch.randn(2, 4))
    lines = str(refused.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["fft_rfft", "sort"]
    assert all("has no form in a graph" in line for line in lines)


def test_weights_get_legal_names_each_its_own() -> None:
    found = legal_names(["Conv@38.weight", "Conv_38.weight", "a b.c", "x" * 300])
    assert found["Conv@38.weight"] == "Conv_38.weight"
    assert found["Conv_38.weight"] == "Conv_38_2.weight"
    assert found["a b.c"] == "a_b.c"
    assert len(set(found.values())) == 4
    assert max(map(len, found.values())) <= 200
