"""Where samples may leave the network early, and with which head.

A linear head is fitted to the full model's outputs on unlabelled inputs of part S. Its features are means over the
cells of a grid: early layers know what they see only by where it is. How fine the grid is, and how strong the
penalty, is decided by answers on samples that a fit has not seen, and so is what the search knows of an exit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from tidegate.calibration.data.passes import forward_all
from tidegate.calibration.fit.cross_fitting import CrossFit, Fit, folds
from tidegate.calibration.fit.logistic import Standardized, logistic
from tidegate.calibration.fit.ridge import Linear, Rows, regression_of
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.graph import INPUT, Node, Ref, Segment, Weight
from tidegate.models.graph.flops import segment_flops
from tidegate.models.graph.operators import ADAPTIVE_AVG_POOL2D, FLATTEN, LINEAR, MEAN
from tidegate.models.knobs import Knobs
from tidegate.models.network import Network, TrainedNetwork, WeightArray, blocks_of

RIDGES = (1e-3, 1e-2, 1e-1)
"""Penalties on the weights that are tried with least squares."""

DECAYS = (1e-2, 3e-3, 1e-3, 3e-4)
"""Those of logistic regression, the strongest first: each fit starts from the one before."""

SIDES = (1, 2, 3, 4, 5, 6, 7, 8)
"""Cells of a grid per side, where they divide the image's."""

MAX_FEATURES = 1600
"""Of a head: it is fitted in a second, and costs the thousandth part of a small network."""

LEAST_APART = 0.02
"""An exit spares no more than what lies between it and the next, and costs its fit and its place in the search."""

Loss = Callable[[Rows, Rows], float]


@dataclass(frozen=True, slots=True)
class _Grid:
    """From a block's input to the features of a linear head: means over the cells of an image, or over tokens."""

    shape: tuple[int, ...]
    side: int = 1

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Features (samples, features) of a block's input (samples, *shape)."""
        if x.ndim == 4:
            return functional.adaptive_avg_pool2d(x, self.side).flatten(1)
        return x.mean(1) if x.ndim == 3 else x

    def nodes(self) -> tuple[Node, ...]:
        """The same as a graph; the last node's value are the features."""
        if len(self.shape) == 1:
            return ()
        if len(self.shape) == 2:
            return (Node("pooled", MEAN, (Ref(INPUT), (1,)), self.shape[1:]),)
        channels = self.shape[0]
        sides = (self.side, self.side)
        return (
            Node("pooled", ADAPTIVE_AVG_POOL2D, (Ref(INPUT), sides), (channels, *sides)),
            Node("flat", FLATTEN, (Ref("pooled"), 1), (channels * self.side**2,)),
        )


@dataclass(frozen=True, slots=True)
class CrossFittedHead:
    """An exit's head as samples of part S are judged by it: each is answered by a fit that has not seen it."""

    grid: _Grid
    fit: CrossFit

    def answers(self, x: Array) -> Rows:
        """Answers (n, outputs) on a block's input (n, *shape), of all samples that were fitted on, in order."""
        return self.fit(self.grid(torch.from_numpy(x)).numpy())


@dataclass(frozen=True, slots=True)
class FittedExits:
    """A network with its exits: `outputs` (n, *output shape) are its answers, `heads` what judges exits by block.

    The heads in the network were fitted on all samples, and do better on these than on any others.
    """

    network: TrainedNetwork
    outputs: Rows
    heads: Mapping[str, CrossFittedHead]


def fit_exits(network: TrainedNetwork, full: Knobs, inputs: Array, loss: Loss) -> FittedExits:
    """Exits before segments (`exit_sites`); `full` is the setting without skips.

    Of the heads tried that with the least `loss` (of the full model's outputs and its own) is taken. A network
    with fewer than two outputs has no margin, and gets none.
    """
    *_, head = network.segments
    blocks = exit_sites(network)
    if len(head.output_shape) != 1 or head.output_shape[0] < 2 or len(inputs) < 2 or not blocks:
        return no_exits(network)
    grids = {block.name: _grids(block.input_shape) for block in blocks}
    features: dict[str, list[list[Rows]]] = {name: [[] for _ in own] for name, own in grids.items()}

    def watch(block: str, seen: GateInput) -> None:
        for grid, rows in zip(grids.get(block, ()), features.get(block, ()), strict=True):
            rows.append(grid(seen.x).numpy())

    outputs = forward_all(EagerEngine(network).build(full), inputs, watch).outputs
    arrays, heads, judging = dict(network.arrays), dict[str, Segment](), dict[str, CrossFittedHead]()
    for block in blocks:
        candidates = [np.concatenate(parts) for parts in features.pop(block.name)]
        chosen = _best_head(candidates, outputs, loss)
        grid = grids[block.name][chosen.grid]
        heads[block.name], weights = _head(block, grid, chosen.fit, outputs.shape[1])
        judging[block.name] = CrossFittedHead(grid, chosen.crossed)
        arrays |= weights
    return FittedExits(replace(network, arrays=arrays, exit_heads=heads), outputs, judging)


def no_exits(network: TrainedNetwork) -> FittedExits:
    """Of a network whose answers have no margin, or that is to have no exits."""
    *_, head = network.segments
    return FittedExits(network, np.empty((0, *head.output_shape), np.float32), {})


def exit_sites(network: Network) -> tuple[Segment, ...]:
    """Before which segments samples may leave: every block, and what else has layers, but the first and the last.

    What is no block has none where it lies less than LEAST_APART of all operations behind the one before.
    """
    *body, _ = network.segments
    blocks = {block.name for block in blocks_of(network)}
    flops = [segment_flops(segment, network.weight_shapes) for segment in network.segments]
    apart = LEAST_APART * sum(flops)
    sites = []
    spent = 0
    for segment, own in zip(body, flops, strict=False):
        is_apart = bool(segment.layers) and spent >= apart
        if segment is not body[0] and (segment.name in blocks or is_apart):
            sites.append(segment)
            spent = 0
        spent += own
    return tuple(sites)


def _grids(shape: tuple[int, ...]) -> tuple[_Grid, ...]:
    """All that divide an image evenly and give no more than MAX_FEATURES; one for anything else."""
    if len(shape) != 3:
        return (_Grid(shape),)
    channels, height, width = shape
    sides = [
        side
        for side in SIDES
        if height % side == 0 and width % side == 0 and (side == 1 or channels * side**2 <= MAX_FEATURES)
    ]
    return tuple(_Grid(shape, side) for side in sides)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A head on one of the grids, fitted on all samples, and fold by fold on the others."""

    grid: int
    fit: Linear
    crossed: CrossFit


def _best_head(candidates: Sequence[Rows], outputs: Rows, loss: Loss) -> _Candidate:
    """The grid and the penalty by one fold, least squares first; then logistic regression on that grid."""
    scales = [Standardized.of(rows) for rows in candidates]
    scaled = [scale(rows) for scale, rows in zip(scales, candidates, strict=True)]
    trials = [trial for grid, rows in enumerate(scaled) for trial in _least_squares(grid, rows, outputs, loss)]
    grid = min(trials, key=lambda trial: trial.loss).grid
    rows = scaled[grid]
    own = [trial for trial in trials if trial.grid == grid]
    fit = min((*own, *_logistics(grid, rows, outputs, loss)), key=lambda trial: trial.loss).fit
    undone = scales[grid].undone
    crossed = CrossFit(tuple(undone(each) for each in CrossFit.of(rows, outputs, fit).fits))
    return _Candidate(grid, undone(fit(rows, outputs)), crossed)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A way to fit on one of the grids, and its loss on the first fold, after a fit to the others."""

    grid: int
    fit: Fit
    loss: float


def _least_squares(grid: int, rows: Rows, outputs: Rows, loss: Loss) -> Iterator[_Trial]:
    """One at each penalty, from the same sums."""
    fitted_on, judged = next(folds(len(rows)))
    regression = regression_of(rows[fitted_on], outputs[fitted_on])
    for ridge in RIDGES:
        answers = regression.linear(ridge)(rows[judged])
        yield _Trial(grid, partial(_ridge_fit, ridge=ridge), loss(outputs[judged], answers))


def _logistics(grid: int, rows: Rows, outputs: Rows, loss: Loss) -> Iterator[_Trial]:
    """One at each penalty, each from the one before, until less of a penalty is worse."""
    fitted_on, judged = next(folds(len(rows)))
    found: Linear | None = None
    least = np.inf
    for decay in DECAYS:
        found = logistic(rows[fitted_on], outputs[fitted_on], decay, found)
        trial = _Trial(grid, partial(logistic, decay=decay), loss(outputs[judged], found(rows[judged])))
        yield trial
        if trial.loss > least:
            break
        least = trial.loss


def _ridge_fit(features: Rows, outputs: Rows, ridge: float) -> Linear:
    return regression_of(features, outputs).linear(ridge)


def _head(block: Segment, grid: _Grid, found: Linear, outputs: int) -> tuple[Segment, Mapping[str, WeightArray]]:
    name = f"{block.name}.exit"
    weight, bias = Weight(f"{name}.weight"), Weight(f"{name}.bias")
    pooled = grid.nodes()
    source = Ref(pooled[-1].name if pooled else INPUT)
    answer = Node("answer", LINEAR, (source, weight, bias), (outputs,))
    segment = Segment(name, block.input_shape, (*pooled, answer))
    return segment, {weight.weight: found.weight, bias.weight: np.ascontiguousarray(found.bias, np.float32)}
