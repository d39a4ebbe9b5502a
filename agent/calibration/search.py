"""Greedy search on part S: from the full model down, one knob at a time, measured jointly after every step.

A block's worth depends on which others are gone already; a rank list measured once, one block at a time (as in
the AdaptiveActivation paper), can't see that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agent.calibration.cost import Cost, CostModel
from agent.calibration.setting import Group, Move, Setting, moves
from agent.engines.eager import EagerEngine
from agent.engines.engine import Array
from agent.models.gates.activity import mean_abs
from agent.models.ladder import Precision
from agent.models.network import Network, blocks_of

MAX_DISAGREEMENT = 0.2
"""Where the search ends: past any alpha that could be certified."""

_KL_FLOOR = 1e-4
"""Below this a step's loss is noise of the part S, and the saving alone decides."""


@dataclass(frozen=True, slots=True)
class Step:
    """One point of the chain: the setting, the move that led to it, and how it does on S."""

    setting: Setting
    move: Move | None
    kl: float
    disagreement: float
    cost: Cost


class Search:
    """The nested chain of one network on one part of the data."""

    def __init__(self, network: Network, groups: tuple[Group, ...], inputs: Array) -> None:
        self._engine = EagerEngine(network)
        self._blocks = blocks_of(network)
        self._groups = {group.name: group for group in groups}
        self._layers = frozenset(layer for segment in network.segments for layer in segment.layers)
        self._inputs = inputs
        full = self._engine.build(Setting())
        self._reference = full.forward(inputs).outputs
        self._costs = CostModel(network, full.weights_resident_bytes)

    def chain(self, progress: Callable[[str], None] = lambda _: None) -> tuple[Step, ...]:
        """From full downwards until nothing is left to turn or the answers fall apart."""
        steps = [self._measured(Setting(), None)]
        while (best := self._best_step(steps[-1])) is not None and best.disagreement <= MAX_DISAGREEMENT:
            progress(
                f"{best.move}: KL {best.kl:.4f}, disagreement {best.disagreement:.1%}, "
                f"operations {best.cost.flops_ratio:.0%}, weights {best.cost.resident_ratio:.0%}"
            )
            steps.append(best)
        return tuple(steps)

    def _best_step(self, now: Step) -> Step | None:
        """The cheapest loss per saving among all single moves; None when no move saves anything."""
        scores = self._scores(now.setting)
        groups = tuple(self._groups.values())
        candidates = [
            self._measured(self._turned(now.setting, move, scores), move)
            for move in moves(now.setting, self._blocks, groups)
        ]
        saving = [step for step in candidates if step.cost.total < now.cost.total]
        return min(saving, key=lambda step: _loss_per_saving(now, step), default=None)

    def _turned(self, setting: Setting, move: Move, scores: dict[str, npt.NDArray[np.float32]]) -> Setting:
        if isinstance(move.to, Precision):
            return setting.with_precision(self._groups[move.target], move.to).normal(self._layers)
        tau = float(np.quantile(scores[move.target], move.to, method="midpoint"))
        return setting.with_rate(move.target, move.to, tau)

    def _scores(self, setting: Setting) -> dict[str, npt.NDArray[np.float32]]:
        """The activity that each block's gate would see, (samples,) by block."""
        scores: dict[str, npt.NDArray[np.float32]] = {}

        def watch(block: str, x: Tensor) -> None:
            scores[block] = mean_abs(x).numpy()

        self._engine.build(setting).forward(self._inputs, watch)
        return scores

    def _measured(self, setting: Setting, move: Move | None) -> Step:
        network = self._engine.build(setting)
        done = network.forward(self._inputs)
        disagreement = float((done.outputs.argmax(1) != self._reference.argmax(1)).mean())
        cost = self._costs.cost(setting, network, done)
        return Step(setting, move, mean_kl(self._reference, done.outputs), disagreement, cost)


def mean_kl(reference: Array, outputs: Array) -> float:
    """Mean over samples of KL(reference || outputs), both logits (samples, classes), in nats."""
    log_p = torch.log_softmax(torch.from_numpy(reference).double(), 1)
    log_q = torch.log_softmax(torch.from_numpy(outputs).double(), 1)
    return float((log_p.exp() * (log_p - log_q)).sum(1).mean())


def _loss_per_saving(now: Step, step: Step) -> float:
    return max(step.kl - now.kl, _KL_FLOOR) / (now.cost.total - step.cost.total)
