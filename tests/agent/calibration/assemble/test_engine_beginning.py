"""A network of which one layer loses its answers in 8 bits: the engine's own answers keep that one in fp32."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.assemble.engine_beginning import Beginning, EngineTrials, beginning_on
from tidegate.calibration.assemble.model_bundle import Request, build_bundle
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.certify.risk import DISAGREEMENT, NEWLY_WRONG
from tidegate.calibration.data.datasets.dataset import Dataset
from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.progress import silent
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.greedy_search import Search
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.search_space import search_space_of
from tidegate.calibration.target_engine import target_engines
from tidegate.engines.bundle_check import verify
from tidegate.models.bundle import open_bundle
from tidegate.models.importing.export_network import export_network
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork

pytest.importorskip("onnxruntime")

WIDTH = 24
OBJECTIVE = Objective(risk=DISAGREEMENT)
INPUTS = np.random.default_rng(5).standard_normal((600, WIDTH)).astype(np.float32)


class Fine(nn.Module):
    """What decides is small beside a channel that the next layer hardly looks at: 8 bits for both drown it."""

    def __init__(self, large: float) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, 6)
        with torch.no_grad():
            self.linear.weight[:, 0] = 1 / large
        scale = torch.ones(WIDTH)
        scale[0] = large
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.linear(torch.tanh(x) * self.scale)
        return answer


def net(large: float) -> nn.Sequential:
    torch.manual_seed(5)
    wide = nn.Sequential(nn.Linear(WIDTH, 200), nn.ReLU(), nn.Linear(200, WIDTH))
    return nn.Sequential(wide, Fine(large)).eval()


def network(large: float) -> TrainedNetwork:
    return export_network(list(zip(("wide", "fine"), net(large), strict=True)), torch.from_numpy(INPUTS[:2]))


def found_on(
    name: str, large: float, labels: npt.NDArray[np.int64] | None = None
) -> tuple[Beginning, tuple[ChainStep, ...], list[str]]:
    """On an engine; and the beginning that eager gives."""
    (target,) = target_engines([name])
    of = network(large)
    search = Search(of, search_space_of(of, {Knob.INT8}, INPUTS), INPUTS, OBJECTIVE)
    begins = search.precisions()
    objective = OBJECTIVE if labels is None else replace(OBJECTIVE, risk=NEWLY_WRONG)
    ranges = HistogramObserver(of, INPUTS).ranges(KnobSettings(precision=Precision.INT8))
    trials = EngineTrials(target, of, INPUTS, labels, ranges, objective)
    told: list[str] = []

    def tell(text: str, share: float | None = None) -> None:
        told.append(text)

    return beginning_on(trials, of, begins, OBJECTIVE, 0.02, search.measured, tell), begins, told


def test_what_holds_on_the_engine_is_left_as_it_is() -> None:
    found, begins, told = found_on("onnx", 1.0)
    assert not found.by_layer
    assert [step.setting for step in found.steps] == [step.setting for step in begins]
    assert not told


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_the_layer_that_loses_answers_stays_in_fp32(name: str) -> None:
    found, begins, _ = found_on(name, 300.0)
    # Rounding weights alone shows nothing of it.
    assert begins[-1].disagreement < 0.01
    assert begins[-1].setting.precision is Precision.INT8
    assert found.by_layer
    assert found.steps[0].setting == begins[0].setting
    last = found.steps[-1]
    assert last.disagreement <= 0.01
    assert precision_of(last.setting, "fine.linear") is Precision.FP32
    # How many of the others are worth it is a matter of time, and so of the machine's load.
    assert Precision.INT8 in {precision_of(last.setting, layer) for layer in ("wide.0", "wide.2")}
    assert last.cost.time_ratio == 1.0
    assert all(step.disagreement > 0.01 for step in found.further)


def test_answers_that_were_wrong_before_are_no_loss() -> None:
    no_class = np.full(len(INPUTS), -1, np.int64)
    found, begins, _ = found_on("onnx", 300.0, no_class)
    assert not found.by_layer
    assert [step.setting for step in found.steps] == [step.setting for step in begins]


def test_the_ladder_has_the_mixture_with_a_certificate(tmp_path: Path) -> None:
    inputs = np.random.default_rng(6).standard_normal((1200, WIDTH)).astype(np.float32)
    data = Dataset("made up", inputs, None, None, 1.0)
    plan = replace(Plan(OBJECTIVE), alphas=(0.03,), knobs=frozenset({Knob.INT8}), engines=("onnx",))
    request = Request(net(300.0), data, tmp_path / "bundle", plan=plan, command="tidegate")
    build_bundle(request, silent)
    bundle = open_bundle(request.out)
    assert [check for check in verify(request.out) if not check.ok] == []
    mixed = [point for point in bundle.ladder.points if point.name == "mixed"]
    assert [point.certificate is not None for point in mixed] == [True]
    assert precision_of(mixed[0], "1.linear") is Precision.FP32
    assert Precision.INT8 in {precision_of(mixed[0], layer) for layer in ("0.0", "0.2")}
