"""Closed-form fits: exact where the truth is linear, and never worse than leaving a block out on what they saw."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.fit.ridge import Regression
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph import Segment
from tidegate.models.graph.shortcut import shortcut_of
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import StandIn
from tidegate.models.network import TrainedNetwork


class Residual(nn.Module):
    def __init__(self, channels: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, outputs, 3, stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.down = nn.Conv2d(channels, outputs, 1, stride) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + (x if self.down is None else self.down(x)))


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)))


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 4, 6, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def network(inputs: np.ndarray) -> TrainedNetwork:
    torch.manual_seed(0)
    parts = [
        ("stem", nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())),
        ("block", Residual(4, 4)),
        ("down", Residual(4, 8, stride=2)),
        ("late", Residual(8, 8)),
        ("head", Head()),
    ]
    return fitted(export_network(parts, torch.zeros(2, 4, 6, 6)), inputs).network


def squared_error(network: TrainedNetwork, inputs: np.ndarray, block: str, kind: StandIn) -> float:
    engine = EagerEngine(network)
    skipping = KnobSettings(skip=frozenset({block}), stand_ins={} if kind is StandIn.IDENTITY else {block: kind})
    after: list[np.ndarray] = []

    def watch(name: str, seen: object) -> None:
        if name == "down":
            after.append(seen.x.numpy().copy())

    engine.build(KnobSettings()).forward(inputs, watch)
    engine.build(skipping).forward(inputs, watch)
    return float(np.square(after[0] - after[1]).mean())


def test_what_costs_more_stands_in_better(network: TrainedNetwork, inputs: np.ndarray) -> None:
    identity, affine, surrogate = (
        squared_error(network, inputs, "block", kind)
        for kind in (StandIn.IDENTITY, StandIn.AFFINE, StandIn.SURROGATE)
    )
    assert surrogate < affine < identity


def test_a_linear_map_is_found_exactly_from_rows_in_batches() -> None:
    fit = Regression(6, 6)
    weight = np.random.default_rng(1).normal(size=(6, 6)).astype(np.float32)
    rows = np.random.default_rng(2).normal(size=(400, 6)).astype(np.float32)
    fit.add(rows[:100], rows[:100] @ weight.T + 1)
    fit.add(rows[100:], rows[100:] @ weight.T + 1)
    found = fit.linear(ridge=1e-9)
    assert np.allclose(found.weight, weight, atol=1e-3)
    assert np.allclose(found.bias, 1, atol=1e-3)
    assert np.allclose(fit.affine(ridge=0).scale, np.diag(weight), atol=0.3)


def test_low_rank_at_full_rank_is_the_ridge_fit_and_loses_less_the_higher_the_rank() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 8)).astype(np.float32)
    answers = (np.tanh(rows @ rng.normal(size=(8, 8))) @ rng.normal(size=(8, 8))).astype(np.float32)
    fit = Regression(8, 8)
    fit.add(rows, answers)
    whole, full = fit.low_rank(8), fit.linear()
    assert np.allclose(whole.up @ whole.down, full.weight, atol=1e-4)
    errors = []
    for rank in (1, 3, 5, 8):
        low = fit.low_rank(rank)
        errors.append(float(np.square(rows @ low.down.T @ low.up.T + low.bias - answers).mean()))
    assert errors == sorted(errors, reverse=True)


def test_the_shortcut_is_what_the_block_adds_its_branch_to(network: TrainedNetwork, inputs: np.ndarray) -> None:
    shortcut = network.stand_ins["down"][StandIn.SHORTCUT]
    assert [node.operator for node in shortcut.nodes] == ["aten.conv2d.default", "aten.relu.default"]
    assert set(shortcut.weights) == {"down.down.weight", "down.down.bias"}
    engine = EagerEngine(network)
    skipping = engine.build(KnobSettings(skip=frozenset({"down"}), stand_ins={"down": StandIn.SHORTCUT})).forward(
        inputs
    )
    assert skipping.executed["down"] == 0
    assert skipping.flops < engine.build(KnobSettings()).forward(inputs).flops


def test_blocks_without_a_path_around_have_no_shortcut(network: TrainedNetwork) -> None:
    by_name: dict[str, Segment] = {segment.name: segment for segment in network.segments}
    assert shortcut_of(by_name["stem"]) is None
    assert shortcut_of(by_name["block"]) is None
    assert "stem" not in network.exit_heads


def test_there_is_a_fitted_exit_before_every_block_but_the_first_segment(network: TrainedNetwork) -> None:
    assert set(network.exit_heads) == {"block", "down", "late"}
    assert all(
        head.weights == (f"{head.name}.weight", f"{head.name}.bias") for head in network.exit_heads.values()
    )
