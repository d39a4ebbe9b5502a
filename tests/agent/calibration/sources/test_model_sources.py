"""What `--model` may say: a function with arguments, an exported program, and what is refused with what to do."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.progress import silent
from tidegate.calibration.sources import SourceError, open_model
from tidegate.calibration.sources.agreement import check_agreement
from tidegate.calibration.sources.factory import call_of
from tidegate.calibration.sources.onnx_file import check_shape
from tidegate.models.importing.discovery import discover

NET = """
from torch import nn
def make(width, *, bias=True):
    return nn.Sequential(nn.Linear(4, width, bias=bias), nn.ReLU(), nn.Linear(width, 3))
"""


class Shaped(nn.Module):
    """Reshapes by the number of samples, which an export for a fixed one turns into a number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.conv(x).reshape(x.shape[0] * 4, 9).relu()
        return self.head(rows.view(x.shape[0], 36))


def test_a_factory_is_called_with_its_literal_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net_of_mine.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    module = open_model("net_of_mine:make(6, bias=False)", silent).module((4,), None)
    shapes = {name: tuple(weight.shape) for name, weight in module.named_parameters()}
    assert shapes == {"0.weight": (6, 4), "2.weight": (3, 6), "2.bias": (3,)}


def test_arguments_are_literals() -> None:
    assert call_of("a.b:c") == ("a.b:c", [], {})
    assert call_of("a.b:c([1, -2.5], 'x', d=None)") == ("a.b:c", [[1, -2.5], "x"], {"d": None})


@pytest.mark.parametrize("text", ["a:b(open('x'))", "a:b(1", "a:b(1)(2)", "a:b(**{})", "a:b(c)"])
def test_other_arguments_are_refused(text: str) -> None:
    with pytest.raises(SourceError, match="allowed are literals"):
        call_of(text)


@pytest.mark.parametrize(
    ("stated", "given", "hint"),
    [
        ((3, 64, 64), (3, 224, 224), "a folder's pictures fit with --size 64"),
        ((1, 28, 28), (3, 224, 224), "a folder's pictures fit with --grey --size 28"),
        ((1, None, None), (3, 224, 224), "a folder's pictures fit with --grey"),
        ((3, 64, 64), (1, 64, 64), "grey pictures have 1 channel"),
        ((3, 64, 48), (3, 64, 64), r"gives \(3, 64, 64\)$"),
        ((64, 64, 3), (3, 64, 64), "channels last"),
        ((10,), (3, 64, 64), r"gives \(3, 64, 64\)$"),
    ],
)
def test_data_of_another_shape_is_refused_with_what_to_set(
    stated: tuple[int | None, ...], given: tuple[int, ...], hint: str
) -> None:
    with pytest.raises(SourceError, match=hint):
        check_shape(stated, given, "net.onnx")


@pytest.mark.parametrize("samples", [1, 3, None])
def test_an_exported_program_answers_any_number_of_samples(tmp_path: Path, samples: int | None) -> None:
    torch.manual_seed(0)
    module = Shaped().eval()
    dynamic = None if samples is not None else ({0: torch.export.Dim("n", min=1)},)
    program = torch.export.export(module, (torch.randn(samples or 2, 1, 5, 5),), dynamic_shapes=dynamic)
    torch.export.save(program, str(tmp_path / "net.pt2"))
    source = open_model(str(tmp_path / "net.pt2"), silent)
    with pytest.raises(SourceError, match=r"takes \(1, 5, 5\) per sample, the data gives \(5, 5, 1\)"):
        source.module((5, 5, 1), None)
    x = torch.randn(4, 1, 5, 5)
    network = discover(source.module((1, 5, 5), None), x[:2]).network

    def answers(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(inputs)).numpy()

    assert check_agreement(network, answers, x.numpy(), "net.pt2", "torch") < 1e-5
    with pytest.raises(SourceError, match="its graph answers otherwise than torch: off by"):
        check_agreement(network, lambda inputs: answers(inputs) * 1.01, x.numpy(), "net.pt2", "torch")


def test_torchscript_and_weights_alone_are_refused_with_what_to_give(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "net.pt"))
    with pytest.raises(SourceError, match=r"is TorchScript.*torch\.export\.save"):
        open_model(str(tmp_path / "net.pt"), silent)
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(SourceError, match=r"holds weights or a pickled object.*def make\(\)"):
        open_model(str(tmp_path / "weights.pth"), silent)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.onnx", "there is no such file"),
        ("net.tflite", r"TFLite files can't be read; give the model as \.onnx"),
        ("net", "names no function and no model file; allowed are"),
    ],
)
def test_what_is_no_model_is_refused(name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_model(name, silent)


def test_a_directory_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SourceError, match=r"has no model\.safetensors.*safe_serialization=True"):
        open_model(str(tmp_path), silent)


BROKEN = """
__version__ = "5.0"
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise ModuleNotFoundError(f"Could not import {name!r}") from RuntimeError("no operator torchvision::nms")
"""


def test_a_library_that_can_not_import_the_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library" / "transformers").mkdir(parents=True)
    (tmp_path / "library" / "transformers" / "__init__.py").write_text(BROKEN)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["BertModel"]}')
    (model / "model.safetensors").touch()
    monkeypatch.syspath_prepend(tmp_path / "library")
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    with pytest.raises(SourceError, match=r"5\.0 can't import BertModel: no operator torchvision::nms; mend"):
        open_model(str(model), silent)
    monkeypatch.delitem(sys.modules, "transformers")
