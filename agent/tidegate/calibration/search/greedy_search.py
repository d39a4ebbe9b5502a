"""Greedy search on part S: from the full model down, one knob at a time, measured jointly after every step.

A block's worth depends on which others are gone already; a rank list measured once, one block at a time (as in
the AdaptiveActivation paper), can't see that.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.certify.risk import NEWLY_WRONG, RiskMeasure
from tidegate.calibration.knob_settings import Setting
from tidegate.calibration.search.activation_cache import Prefixes
from tidegate.calibration.search.cost import DECISION_FLOPS, Cost, CostModel
from tidegate.calibration.search.memory_cost import MemoryCost
from tidegate.calibration.search.moves import (
    ActivationMove,
    ExitMove,
    Menu,
    Move,
    PrecisionMove,
    ResolutionMove,
    SkipMove,
)
from tidegate.calibration.search.strategy import Course, Phase, phases_of
from tidegate.engines.engine import Array
from tidegate.engines.interpreter import Interpreter
from tidegate.models.gates import Seen
from tidegate.models.gates.activity import score_of
from tidegate.models.gates.margin import margin
from tidegate.models.ladder import Activity
from tidegate.models.network import Network
from tidegate.models.precision import Fp32Weight

MAX_DISAGREEMENT = 0.1
"""Where the search ends: at twice the largest loss that is certified. What loses more on S won't pass on C."""

COMPANION_WEIGHT = 0.1
"""Of the risk's smooth companion beside the risk itself. The risk is what will be certified; but on a few hundred
inputs most moves change the same number of answers, often none, and then the companion tells them apart."""

LOOKAHEAD = 12
"""Moves measured anew per step, the best by their last measurement first; the others can wait, because what a
move loses hardly ever falls while others are made (lazy greedy, Minoux 1978)."""

SCREENED_OPERATIONS = 50e9
"""Of the full model over part S, from where on moves are first measured on a share of it, as for ResNet-18 at
224x224. Small networks are measured in full."""

SCREENING_SHARE = 0.25
SHORTLIST = 3
"""Moves of the best share that are measured on all of S, of which the best is taken."""

_LOSS_FLOOR = 1e-4
"""Below this a step's loss is noise of the part S, and the saving alone decides."""

Scores = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Step:
    """One point of the chain: the setting, the move that led to it, and how it does on S.

    `loss` is the share of answers that differ from the full model's, `disagreement`, and a little of the risk's
    smooth companion.
    """

    setting: Setting
    move: Move | None
    loss: float
    disagreement: float
    cost: Cost


@dataclass(frozen=True, slots=True)
class Aim:
    """What the search goes for; `flops_share` is how much operations count against weight bytes.

    By default both have equal say: the search has no device in view. With `count_decisions` a gate weighs what
    it takes in time, `decision_flops` besides its own operations; with `count_activations` bytes are those of the
    weights and of the encoded activations alive at once, and else of the weights alone.
    """

    risk: RiskMeasure = NEWLY_WRONG
    flops_share: float = 0.5
    lookahead: int = LOOKAHEAD
    activity: Activity = Activity.MEAN_ABS
    max_disagreement: float = MAX_DISAGREEMENT
    count_decisions: bool = True
    decision_flops: int = DECISION_FLOPS
    count_activations: bool = False

    def cost(self, cost: Cost) -> float:
        """What the search saves."""
        work = cost.flops_ratio + cost.decision_ratio * self.count_decisions
        return self.flops_share * work + (1 - self.flops_share) * cost.memory_ratio


@dataclass(slots=True)
class _Seen:
    """What gates see at a setting, over all samples: activities by block, margins by exit."""

    activity: Scores = field(default_factory=dict)
    margins: Scores = field(default_factory=dict)


class Search:
    """Nested chains of one network on one part of the data."""

    def __init__(self, network: Network, menu: Menu, inputs: Array, aim: Aim = Aim()) -> None:
        self._prefixes = Prefixes(network, inputs)
        self._menu = menu
        self._aim = aim
        self._groups = {group.name: group for group in (*menu.groups, *menu.nibbles)}
        self._layers = frozenset(layer for group in menu.groups for layer in group.layers)
        self._heads = _exit_heads(network, menu.exits)
        full, done = self._prefixes.keep(Setting())
        self._reference = done.outputs
        self._costs = CostModel(network, full.weights_resident_bytes, aim.decision_flops)
        self._memory = MemoryCost(network, inputs) if aim.count_activations else None
        self._ratios: dict[Move, float] = {}
        self._seen = _Seen()
        self._names = tuple(segment.name for segment in network.segments)
        self._screened = self._costs.full_flops * len(inputs) > SCREENED_OPERATIONS
        # The first phase is every course's.
        self._beginning: tuple[Step, ...] = ()

    def chain(
        self,
        course: Course = Course.ALL_AT_ONCE,
        progress: Callable[[Step], None] = lambda _: None,
        found: Sequence[Step] = (),
    ) -> tuple[Step, ...]:
        """From full downwards until nothing is left to turn or the answers fall apart.

        `found` is the beginning of a chain that an earlier, interrupted search of the same network, data and
        course had got to; `progress` is shown every new step.
        """
        self._ratios.clear()
        steps = list(found)
        for step in () if found else self._beginning or [self._full()]:
            progress(step)
            steps.append(step)
        first, *rest = phases_of(course, self._menu, self._aim.max_disagreement)
        for phase in (first, *rest):
            if phase.is_past([step.move for step in steps]):
                continue
            for step in self._descent(steps[-1], phase):
                progress(step)
                steps.append(step)
            if phase is first:
                self._beginning = tuple(steps)
        return tuple(steps)

    def _full(self) -> Step:
        return self._measured(Setting(activity=self._aim.activity), None)

    def _descent(self, now: Step, phase: Phase) -> Iterator[Step]:
        while (best := self._best_step(now, phase)) is not None:
            yield best
            now = best

    def _best_step(self, now: Step, phase: Phase) -> Step | None:
        """The least loss per saving among the moves looked at; None when none saves anything within the limit."""
        seen = self._looked(now.setting)
        if self._screened:
            return self._screened_step(now, phase, seen)
        lowest, best = np.inf, None
        for looked, move in enumerate(self._in_order(phase, now)):
            if self._suffices(looked, move, lowest):
                break
            step = self._measured(self._turned(now.setting, move, seen), move)
            self._ratios[move] = ratio = self._ratio(now, step)
            if ratio < lowest and step.disagreement <= phase.limit:
                lowest, best = ratio, step
        return best

    def _screened_step(self, now: Step, phase: Phase, seen: _Seen) -> Step | None:
        """The same by a part of the samples first, and by all of them for the best of those."""
        here = self._measured(now.setting, None, SCREENING_SHARE)
        tried: list[tuple[float, Move]] = []
        for looked, move in enumerate(self._in_order(phase, now)):
            if self._suffices(looked, move, min((ratio for ratio, _ in tried), default=np.inf)):
                break
            step = self._measured(self._turned(now.setting, move, seen), move, SCREENING_SHARE)
            self._ratios[move] = ratio = self._ratio(here, step)
            if ratio < np.inf:
                tried.append((ratio, move))
        moves = [move for _, move in sorted(tried, key=lambda pair: pair[0])]
        for start in range(0, len(moves), SHORTLIST):
            steps = [
                self._measured(self._turned(now.setting, move, seen), move)
                for move in moves[start : start + SHORTLIST]
            ]
            allowed = [
                step for step in steps if step.disagreement <= phase.limit and self._ratio(now, step) < np.inf
            ]
            if allowed:
                return min(allowed, key=lambda step: self._ratio(now, step))
        return None

    def _in_order(self, phase: Phase, now: Step) -> list[Move]:
        """The phase's moves, those that did best when they were last measured first."""
        return sorted(phase.menu.moves(now.setting), key=lambda move: self._ratios.get(move, -np.inf))

    def _suffices(self, looked: int, move: Move, lowest: float) -> bool:
        """Whether enough moves are measured: all to come did no better when they were, and each was."""
        known = self._ratios.get(move)
        return looked >= self._aim.lookahead and known is not None and lowest < np.inf and lowest <= known

    def _ratio(self, now: Step, step: Step) -> float:
        """Loss per saving; infinite where nothing is saved."""
        saving = self._aim.cost(now.cost) - self._aim.cost(step.cost)
        return max(step.loss - now.loss, _LOSS_FLOOR) / saving if saving > 0 else np.inf

    def _turned(self, setting: Setting, move: Move, seen: _Seen) -> Setting:
        match move:
            case PrecisionMove(group, precision):
                return setting.with_precision(self._groups[group], precision).normal(self._layers)
            case SkipMove(block, rate, stand_in):
                scores = seen.activity.get(block, np.zeros(1, np.float32))
                tau = float(np.quantile(scores, rate, method="midpoint")) if rate < 1 else 0.0
                return setting.with_rate(block, rate, tau, stand_in)
            case ActivationMove(bits, zero_share):
                if self._menu.stored_values is None:
                    raise ValueError(f"{move}: the menu knows no stored values")
                return self._menu.stored_values.turned(setting, (bits, zero_share))
            case ResolutionMove(resolution):
                return replace(setting, resolution=resolution)
            case ExitMove(block, rate):
                # Where no sample arrives none can leave: a margin is never above 1.
                margins = seen.margins.get(block, np.ones(1, np.float32))
                return setting.with_exit(block, rate, float(np.quantile(margins, 1 - rate, method="midpoint")))

    def _looked(self, setting: Setting) -> _Seen:
        """What the gates of each block would see at a setting, in the samples that get there."""
        activity: dict[str, list[npt.NDArray[np.float32]]] = {}
        margins: dict[str, list[npt.NDArray[np.float32]]] = {}
        score = score_of(setting.activity)

        def watch(block: str, seen: Seen) -> None:
            activity.setdefault(block, []).append(score(seen).numpy())
            if block in self._heads:
                margins.setdefault(block, []).append(margin(self._heads[block](seen.x)).numpy())

        unchanged = frozenset(self._names[: self._prefixes.watch(setting, watch)])
        self._seen = _Seen(
            _only(self._seen.activity, unchanged) | _joined(activity),
            _only(self._seen.margins, unchanged) | _joined(margins),
        )
        return self._seen

    def _measured(self, setting: Setting, move: Move | None, share: float = 1.0) -> Step:
        network, done = self._prefixes.run(setting, share)
        risk = self._aim.risk
        cost = self._costs.cost(network, done)
        reference = self._reference[: len(done.outputs)]
        disagreement = float(risk.differ(reference, done.outputs).mean())
        return Step(
            setting,
            move,
            disagreement + COMPANION_WEIGHT * risk.loss(reference, done.outputs),
            disagreement,
            cost if self._memory is None else replace(cost, memory_ratio=self._memory.ratio(setting)),
        )


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
