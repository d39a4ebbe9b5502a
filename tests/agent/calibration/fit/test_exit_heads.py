"""Exit heads: what grid, how fitted, and that what the search sees of them is no sample they were fitted on."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.certify.risk import mean_kl
from tidegate.calibration.fit.cross_fitting import FOLDS, CrossFit, folds
from tidegate.calibration.fit.exit_answers import exit_answers
from tidegate.calibration.fit.exit_heads import LEAST_APART, FittedExits, exit_sites, fit_exits
from tidegate.calibration.fit.logistic import Standardized, logistic
from tidegate.calibration.fit.ridge import Linear
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import target_engines
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph.flops import segment_flops
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.export_network import export_network
from tidegate.models.network import TrainedNetwork, blocks_of

SAMPLES = 240


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + 0.01 * self.conv(x))


class Corners(nn.Module):
    """Which corner of the image is the brightest: nothing that a mean over the image could tell."""

    def forward(self, x: Tensor) -> Tensor:
        return 20 * nn.functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 2).flatten(1)


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU())
    nn.init.constant_(stem[0].weight, 1.0)
    parts = [("stem", stem), ("block", Residual(4)), ("head", Corners())]
    return export_network(parts, torch.zeros(2, 1, 8, 8))


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).random((SAMPLES, 1, 8, 8), np.float32)


def unseen_answers(exits: FittedExits, inputs: Array) -> Array:
    """Of the exit, by heads that have not seen the sample."""
    (eager,) = target_engines(["eager"])
    return exit_answers(exits, KnobSettings(), inputs, eager).exits["block"]


def test_the_grid_is_as_fine_as_answers_need(network: TrainedNetwork, inputs: Array) -> None:
    found = fit_exits(network, KnobSettings(), inputs, mean_kl)
    pooled = found.network.exit_heads["block"].nodes[0]
    assert pooled.shape == (4, 2, 2)
    agreeing = unseen_answers(found, inputs).argmax(1) == found.outputs.argmax(1)
    assert agreeing.mean() > 0.9


def test_there_is_an_exit_before_every_block_but_the_first_segment(network: TrainedNetwork, inputs: Array) -> None:
    assert fit_exits(network, KnobSettings(), inputs, mean_kl).network.exit_heads.keys() == {"block"}


class Appending(nn.Module):
    """A layer whose output is appended to its input, as in a DenseNet: nothing of it can be skipped."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, torch.relu(self.conv(x))], 1)


def test_samples_may_leave_where_no_block_is_and_take_fewer_values_along_behind_a_pool(inputs: Array) -> None:
    torch.manual_seed(0)
    stem = nn.Conv2d(1, 8, 3, padding=1)
    body = (Appending(8), Appending(12), nn.MaxPool2d(2), Appending(16), nn.Flatten())
    net = nn.Sequential(stem, *body, nn.Linear(320, 3)).eval()
    network = discover(net, torch.from_numpy(inputs[:2])).network
    found = fit_exits(network, KnobSettings(), inputs, mean_kl)
    assert blocks_of(network) == ()
    shapes = [head.input_shape for head in found.network.exit_heads.values()]
    assert shapes == [(8, 8, 8), (12, 8, 8), (16, 4, 4)]
    leaving = KnobSettings(exits={next(iter(found.heads)): -1.0})
    assert EagerEngine(found.network).build(leaving).forward(inputs).flops < 0.2 * (
        EagerEngine(found.network).build(KnobSettings()).forward(inputs).flops
    )


def test_exits_that_are_no_blocks_lie_apart(inputs: Array) -> None:
    """Two large layers, forty tiny ones and two large ones; the first layer is a block."""
    tiny = [layer for _ in range(20) for layer in (nn.Linear(3, 4), nn.Linear(4, 3))]
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 3), *tiny, nn.Linear(3, 900), nn.Linear(900, 3)
    )
    network = discover(net.eval(), torch.from_numpy(inputs[:2])).network
    flops = [segment_flops(segment, network.weight_shapes) for segment in network.segments]
    names = [segment.name for segment in network.segments]
    places = [names.index(site.name) for site in exit_sites(network)]
    between = [sum(flops[first:last]) for first, last in pairwise(places)]
    assert 1 < len(places) < 10
    assert all(own >= LEAST_APART * sum(flops) for own in between)


def test_a_network_with_one_output_has_no_margin_and_gets_none(inputs: Array) -> None:
    parts = [
        ("stem", nn.Conv2d(1, 4, 1)),
        ("block", Residual(4)),
        ("head", nn.Flatten()),
        ("one", nn.Linear(256, 1)),
    ]
    single = export_network(parts, torch.zeros(2, 1, 8, 8))
    assert fit_exits(single, KnobSettings(), inputs, mean_kl).network is single


def test_answers_are_of_heads_that_have_not_seen_the_sample(network: TrainedNetwork, inputs: Array) -> None:
    """The head in the network was fitted on all of them, and does better on them."""
    found = fit_exits(network, KnobSettings(), inputs, mean_kl)
    settings = KnobSettings(exits={"block": 0.0})
    own = EagerEngine(found.network).build(settings).forward(inputs).outputs
    assert mean_kl(found.outputs, own) < mean_kl(found.outputs, unseen_answers(found, inputs))


def test_on_noise_a_cross_fit_is_no_better_than_chance_and_a_fit_on_all_is() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 100)).astype(np.float32)
    classes = rng.integers(0, 4, 200)
    logits = np.eye(4, dtype=np.float32)[classes] * 10

    def fit(x: Array, y: Array) -> Linear:
        return logistic(x, y, 1e-4)

    assert (fit(features, logits)(features).argmax(1) == classes).mean() > 0.9
    assert (CrossFit.of(features, logits, fit)(features).argmax(1) == classes).mean() < 0.4


def test_every_sample_is_judged_once_and_never_fitted_on_where_it_is() -> None:
    judged = np.zeros(10, int)
    for fitted_on, fold in folds(10):
        assert not (fitted_on & fold).any()
        assert (fitted_on | fold).all()
        judged += fold
    assert (judged == 1).all()
    assert len(list(folds(10))) == FOLDS


def test_a_logistic_fit_finds_the_probabilities_it_is_shown() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2000, 3)).astype(np.float32)
    true = Linear(rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32))
    found = logistic(features, true(features), 1e-6)
    assert mean_kl(true(features), found(features)) < 1e-3


def test_a_fit_on_standardized_features_is_the_same_on_the_features() -> None:
    rng = np.random.default_rng(3)
    rows = (rng.normal(size=(50, 5)) * [1, 10, 0.1, 0, 3] + [5, 0, -1, 2, 0]).astype(np.float32)
    scale = Standardized.of(rows)
    fit = Linear(rng.normal(size=(2, 5)).astype(np.float32), rng.normal(size=2).astype(np.float32))
    assert np.allclose(scale.undone(fit)(rows), fit(scale(rows)), atol=1e-4)
