"""Greedy search on part S: from the full model down, one knob at a time, measured jointly after every step.

A block's worth depends on which others are gone already; a rank list measured once, one block at a time (as in
the AdaptiveActivation paper), can't see that.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.moves import (
    ActivationMove,
    CascadeMove,
    ExitMove,
    Move,
    PrecisionMove,
    ResolutionMove,
    SkipMove,
)
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.screening import SCREENING_SHARE
from tidegate.calibration.search.search_space import SearchSpace
from tidegate.calibration.search.strategy import Phase, phases_of
from tidegate.calibration.search.trials import SpreadTrials, Trials, Workers
from tidegate.engines.engine import Array
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import score_of
from tidegate.models.gates.margin import margin
from tidegate.models.network import Network
from tidegate.models.precision import Fp32Weight

SHORTLIST = 3
"""Moves of the best share that are measured on all of S, of which the best is taken."""

_LOSS_FLOOR = 1e-4
"""Below this a step's loss is noise of the part S, and the saving alone decides."""

EVEN_HANDED = Objective()
"""Operations and weight bytes have equal say."""

Scores = dict[str, npt.NDArray[np.float32]]


@dataclass(slots=True)
class _GateScores:
    """What gates see at a setting, over all samples: activities by block, margins by exit."""

    activity: Scores = field(default_factory=dict)
    margins: Scores = field(default_factory=dict)


class Search:
    """Nested chains of one network on one part of the data."""

    def __init__(
        self,
        network: Network,
        space: SearchSpace,
        inputs: Array,
        objective: Objective = EVEN_HANDED,
        workers: Workers | None = None,
    ) -> None:
        self._here = Trials(network, inputs, objective)
        self._trials = self._here if workers is None else SpreadTrials(network, inputs, objective, workers)
        self._space = space
        self._objective = objective
        self._groups = {group.name: group for group in (*space.int8_groups, *space.int4_groups)}
        self._layers = frozenset(layer for group in self._groups.values() for layer in group.layers)
        self._network = network
        self._heads = _exit_heads(network, space.exits)
        self._ratios: dict[Move, float] = {}
        self._scores = _GateScores()
        self._names = tuple(segment.name for segment in network.segments)

    def precisions(self) -> tuple[ChainStep, ...]:
        """The chain's beginning, from full down: precisions alone, as far as they change hardly any answer."""
        first, _ = phases_of(self._space, self._objective.max_disagreement)
        full = self._full()
        return full, *self._descent(full, first)

    def chain(
        self, progress: Callable[[ChainStep], None] = lambda _: None, found: Sequence[ChainStep] = ()
    ) -> tuple[ChainStep, ...]:
        """From full downwards until nothing is left to turn or the answers fall apart.

        `found` is the beginning of a chain: `precisions`, or what an earlier, interrupted search of the same
        network and data had got to; `progress` is shown every new step.
        """
        self._ratios.clear()
        steps = list(found)
        if not steps:
            steps.append(self._full())
            progress(steps[0])
        for phase in phases_of(self._space, self._objective.max_disagreement):
            if phase.is_past([step.move for step in steps]):
                continue
            for step in self._descent(steps[-1], phase):
                progress(step)
                steps.append(step)
        return tuple(steps)

    def measured(self, setting: KnobSettings, move: Move | None) -> ChainStep:
        """A setting as a step, whatever led to it."""
        return self._here.measured(setting, move)

    def _full(self) -> ChainStep:
        return self._here.measured(KnobSettings(activity=self._objective.activity), None)

    def _descent(self, now: ChainStep, phase: Phase) -> Iterator[ChainStep]:
        while (best := self._best_step(now, phase)) is not None:
            yield best
            now = best

    def _best_step(self, now: ChainStep, phase: Phase) -> ChainStep | None:
        """The least loss per saving among the moves measured; None when none saves anything within the limit."""
        scores = self._gate_scores(now.setting)
        if self._here.screened:
            return self._screened_step(now, phase, scores)
        lowest, best = np.inf, None
        moves = self._in_order(phase, now)
        with closing(self._each(now, moves, scores)) as steps:
            for measured, move in enumerate(moves):
                if self._suffices(measured, move, lowest):
                    break
                step = next(steps)
                self._ratios[move] = ratio = self._ratio(now, step)
                if ratio < lowest and step.disagreement <= phase.limit:
                    lowest, best = ratio, step
        return best

    def _each(
        self, now: ChainStep, moves: Iterable[Move], scores: _GateScores, share: float = 1.0
    ) -> Generator[ChainStep]:
        """Where each of the moves leads, measured as they are asked for."""
        trials = ((self._after(now.setting, move, scores), move) for move in moves)
        return self._trials.each(now.setting, trials, share)

    def _screened_step(self, now: ChainStep, phase: Phase, scores: _GateScores) -> ChainStep | None:
        """The same by a part of the samples first, and by all of them for the best of those."""
        here = self._here.measured(now.setting, None, SCREENING_SHARE)
        tried: list[tuple[float, Move]] = []
        in_order = self._in_order(phase, now)
        with closing(self._each(now, in_order, scores, SCREENING_SHARE)) as steps:
            for measured, move in enumerate(in_order):
                if self._suffices(measured, move, min((ratio for ratio, _ in tried), default=np.inf)):
                    break
                step = next(steps)
                self._ratios[move] = ratio = self._ratio(here, step)
                if ratio < np.inf:
                    tried.append((ratio, move))
        moves = [move for _, move in sorted(tried, key=lambda pair: pair[0])]
        for start in range(0, len(moves), SHORTLIST):
            shortlist = self._each(now, moves[start : start + SHORTLIST], scores)
            allowed = [
                step for step in shortlist if step.disagreement <= phase.limit and self._ratio(now, step) < np.inf
            ]
            if allowed:
                return min(allowed, key=lambda step: self._ratio(now, step))
        return None

    def _in_order(self, phase: Phase, now: ChainStep) -> list[Move]:
        """The phase's moves, those that did best when they were last measured first."""
        return sorted(phase.space.moves(now.setting), key=lambda move: self._ratios.get(move, -np.inf))

    def _suffices(self, measured: int, move: Move, lowest: float) -> bool:
        """Whether enough moves are measured: all to come did no better when they were, and each was."""
        known = self._ratios.get(move)
        return measured >= self._objective.lookahead and known is not None and lowest < np.inf and lowest <= known

    def _ratio(self, now: ChainStep, step: ChainStep) -> float:
        """Loss per saving; infinite where nothing is saved."""
        saving = self._objective.cost(now.cost) - self._objective.cost(step.cost)
        return max(step.loss - now.loss, _LOSS_FLOOR) / saving if saving > 0 else np.inf

    def _after(self, setting: KnobSettings, move: Move, scores: _GateScores) -> KnobSettings:
        match move:
            case PrecisionMove(group, precision):
                return setting.with_precision(self._groups[group], precision).normal(self._layers)
            case SkipMove(block, rate, stand_in):
                activities = scores.activity.get(block, np.zeros(1, np.float32))
                tau = float(np.quantile(activities, rate, method="midpoint")) if rate < 1 else 0.0
                return setting.with_rate(block, rate, tau, stand_in)
            case ActivationMove(bits, zero_share):
                if self._space.activation_levels is None:
                    raise ValueError(f"{move}: the search space has no levels of activations")
                return self._space.activation_levels.applied(setting, (bits, zero_share))
            case ResolutionMove(resolution):
                return replace(setting, resolution=resolution)
            case CascadeMove():
                raise ValueError(f"{move}: a greedy search turns one exit at a time")
            case ExitMove(block, rate):
                # Where no sample arrives none can leave: a margin is never above 1.
                margins = scores.margins.get(block, np.ones(1, np.float32))
                exit_at = float(np.quantile(margins, 1 - rate, method="midpoint"))
                return setting.with_exit(block, rate, exit_at, self._network.exit_heads[block].layers)

    def _gate_scores(self, setting: KnobSettings) -> _GateScores:
        """What the gates of each block would see at a setting, in the samples that get there."""
        activity: dict[str, list[npt.NDArray[np.float32]]] = {}
        margins: dict[str, list[npt.NDArray[np.float32]]] = {}
        score = score_of(setting.activity)

        def watch(block: str, seen: GateInput) -> None:
            if block in self._space.stand_ins:
                activity.setdefault(block, []).append(score(seen).numpy())
            if block in self._heads:
                margins.setdefault(block, []).append(margin(self._heads[block](seen.x)).numpy())

        unchanged = frozenset(self._names[: self._here.cache.watch(setting, watch)])
        self._scores = _GateScores(
            _only(self._scores.activity, unchanged) | _joined(activity),
            _only(self._scores.margins, unchanged) | _joined(margins),
        )
        return self._scores


def _only(scores: Scores, blocks: frozenset[str]) -> Scores:
    return {block: values for block, values in scores.items() if block in blocks}


def _exit_heads(network: Network, exits: Sequence[str]) -> dict[str, Interpreter]:
    heads = {block: network.exit_heads[block] for block in exits}
    weights = network.weights(dict.fromkeys(name for head in heads.values() for name in head.weights))
    stored = {name: Fp32Weight(torch.tensor(array)) for name, array in weights.items()}
    return {
        block: Interpreter(head, {name: stored[name] for name in head.weights}) for block, head in heads.items()
    }


def _joined(parts: dict[str, list[npt.NDArray[np.float32]]]) -> Scores:
    return {name: np.concatenate(values) for name, values in parts.items()}
