"""`tidegate.build`: a certified ladder from a module and arrays in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tidegate
from tidegate.api.opened import InputsError
from tidegate.calibration.assemble.model_bundle import BuildError
from tidegate.engines.bundle_check import verify


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.2 * self.body(x)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 12), Block(), Block(), nn.Linear(12, 3))


INPUTS = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32)


@pytest.mark.long
def test_batches_with_labels_become_a_bundle(tmp_path: Path) -> None:
    model = net()
    with torch.no_grad():
        labels = model(torch.from_numpy(INPUTS)).argmax(1)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, len(INPUTS), 150):
            yield torch.from_numpy(INPUTS[start : start + 150]), labels[start : start + 150]

    built = tidegate.build(model, batches(), out=tmp_path / "mine", engines=("onnx",), classes=("a", "b", "c"))
    assert all(check.ok for check in verify(tmp_path / "mine"))
    assert built.labels == ("a", "b", "c")
    assert built.ladder.points[-1].certified_risk is not None
    with tidegate.Runner(built, engine="onnx") as runner:
        assert runner.run(INPUTS[:50]).outputs.argmax(1).tolist() == labels[:50].tolist()


@pytest.mark.parametrize(
    ("inputs", "labels", "said"),
    [
        (3, None, "inputs are a int; allowed are an array"),
        (INPUTS.astype(bool), None, r"inputs are bool \(400, 16\); allowed are uint8"),
        (INPUTS[0], None, r"inputs are float32 \(16,\)"),
        (INPUTS, [1, 2], r"labels are int64 \(2,\), needed are whole numbers \(400,\)"),
        (INPUTS, np.zeros(400), "labels are float64"),
        (iter(()), None, "at least one"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, inputs: object, labels: object, said: str) -> None:
    with pytest.raises(InputsError, match=said):
        tidegate.build(net(), inputs, labels, out=tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_named_by_its_class(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"--model Sequential: does not take inputs \(2, 9\)"):
        tidegate.build(net(), INPUTS[:, :9], out=tmp_path / "mine")
