"""Models that start from whole numbers: words are looked up, and masks follow from them, on every engine."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tidegate.calibration.candidate import candidate
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import target_engines
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.export import ExportError, export_module

WORDS, LENGTH, WIDTH = 50, 6, 8


class Masked(nn.Module):
    """Attention in three ways of masking words of number 0, and a mean over the others."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH, padding_idx=0), nn.Embedding(LENGTH, WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, numbers: Tensor) -> Tensor:
        mask = numbers != 0
        x = self.words(numbers) + self.places(torch.arange(numbers.shape[1]))
        q = x.reshape(x.shape[0], LENGTH, 2, WIDTH // 2).transpose(1, 2)
        across = mask[:, None, None, :]
        by_truth = scaled_dot_product_attention(q, q, q, attn_mask=across)
        by_sum = scaled_dot_product_attention(q, q, q, attn_mask=(1.0 - across.float()) * torch.finfo().min)
        filled = (q @ q.transpose(-1, -2)).masked_fill(~across, float("-inf")).softmax(-1) @ q
        x = x + (by_truth + by_sum + filled).transpose(1, 2).reshape(x.shape)
        middle = ((numbers > 3) & (numbers <= 40)) | (numbers == 45) | (numbers >= 49)
        x = torch.where(middle[..., None], x, x * 2.0)
        shares = mask.float()[..., None]
        return self.head((x * shares).sum(1) / shares.sum(1).clamp(min=1))


def test_every_engine_answers_like_the_model() -> None:
    torch.manual_seed(0)
    model = Masked().eval()
    numbers = torch.randint(0, WORDS, (4, LENGTH))
    numbers[:, 0] = 5
    numbers[0, 1:4] = torch.tensor([45, 49, 0])
    network = discover(model, numbers[:2]).network
    with torch.no_grad():
        expected = model(numbers).numpy()
    for host in target_engines(("eager", "onnx", "litert")):
        found = host.over(network).prepare(candidate(KnobSettings(), host.name)).run(numbers.float().numpy())
        assert np.abs(found.outputs - expected).max() < 1e-5 * np.abs(expected).max(), host.name


@pytest.mark.parametrize("numbers", [[-3, 60, 1e9, 2, 3, 4], [2.6, 2.6, 2.6, 2.6, 2.6, 2.6]])
def test_numbers_of_no_row_are_answered_and_crash_nothing(numbers: list[float]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(WORDS, WIDTH), nn.Flatten(), nn.Linear(LENGTH * WIDTH, 3))
    network = discover(model.eval(), torch.randint(0, WORDS, (2, LENGTH))).network
    given = np.asarray([numbers], np.float32)
    for host in target_engines(("eager", "onnx", "litert")):
        answer = host.over(network).prepare(candidate(KnobSettings(), host.name)).run(given)
        assert np.isfinite(answer.outputs).all(), host.name


class Cut(nn.Module):
    """Takes floats, and looks up what is before their point."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.words(x.long()).mean(1)


class ByThreshold(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0.5, x, x * 0.5)


@pytest.mark.parametrize(
    ("model", "words"), [(Cut, "becomes torch.int64, which drops"), (ByThreshold, "need not be whole")]
)
def test_whole_numbers_out_of_others_are_refused(model: type[nn.Module], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        export_module(model().eval(), torch.randn(2, LENGTH))
