"""A chain of cascades: samples leave by exits set jointly, cheaper and riskier from step to step.

Exits are judged by answers of heads that were not fitted on the sample, as the engine computes them, and cost what
was measured on it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.certify.risk import RiskMeasure
from tidegate.calibration.fit.exit_answers import ExitAnswers
from tidegate.calibration.fit.exit_heads import FittedExits
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.exit_times import ExitTimes
from tidegate.calibration.search.cascade import Cascade, ExitOutcomes, frontier, thinned
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.isotonic import never_rising
from tidegate.calibration.search.moves import CascadeMove
from tidegate.engines.engine import Array
from tidegate.models.bundle.evidence import Truth
from tidegate.models.gates.margin import margin

STEP_RATIO = 0.96
"""Of times from step to step: finer than what a certificate on some hundred inputs can tell apart."""

CAUTIOUS_STEP_RATIO = 0.85
"""While S foresees not one failure. These steps are there for what S is too small to show."""


def cascade_chain(
    base: ChainStep,
    exits: FittedExits,
    answers: ExitAnswers,
    times: ExitTimes,
    beginning_ms: float,
    risk: RiskMeasure,
    labels: Truth | None,
    max_failures: float,
    measured: Callable[[KnobSettings, CascadeMove], ChainStep],
) -> Iterator[ChainStep]:
    """Steps from the setting of `base` on, which has no exits, down to where more than `max_failures` fail.

    `labels` (n,) are of the inputs that the exits were fitted on. `answers` and `times` are the engine's, so
    thresholds are too. `beginning_ms` is what the chain's beginning takes; where the base takes less, it is a step
    itself. `measured` gives what a setting costs in operations and bytes; its time and its loss come from the
    cascade, and its bytes count as what it has more of than the base: precisions were decided before.
    """
    outcomes = [
        ExitOutcomes(
            block,
            margins := _margins(own),
            _smoothed(margins, risk.foreseen(exits.outputs, own, labels).astype(np.float64)),
            times.exits[block].before_ms,
            times.exits[block].own_ms,
        )
        for block, own in answers.exits.items()
        if block in times.exits
    ]
    whole = risk.foreseen(exits.outputs, answers.end, labels).astype(np.float64)
    found = frontier(outcomes, times.whole_ms, whole)
    steps = _steps(found, len(whole))
    base_bytes = measured(base.setting, CascadeMove(())).cost.memory_ratio
    for cascade in (found[0], *steps) if times.whole_ms < STEP_RATIO * beginning_ms else steps:
        if cascade.failures > max_failures:
            break
        setting = base.setting
        move = CascadeMove(tuple(_leaving(cascade, outcomes).items()))
        for block, threshold in cascade.exits.items():
            head = exits.network.exit_heads[block]
            setting = setting.with_exit(block, dict(move.leaving)[block], threshold, head.layers)
        step = measured(setting, move)
        memory_ratio = base.cost.memory_ratio + step.cost.memory_ratio - base_bytes
        cost = replace(step.cost, memory_ratio=memory_ratio, time_ratio=cascade.mean_ms / beginning_ms)
        yield replace(step, loss=cascade.failures, disagreement=cascade.failures, cost=cost)


def _steps(found: tuple[Cascade, ...], samples: int) -> tuple[Cascade, ...]:
    """Those worth a candidate, without the one that has no exits."""
    first_failure = found[0].failures + 1 / samples
    cautious = tuple(each for each in found if each.failures < first_failure)
    bold = found[len(cautious) :]
    steps = thinned(cautious, CAUTIOUS_STEP_RATIO)
    return (*steps, *thinned((steps[-1], *bold), STEP_RATIO)[1:])[1:] if bold else steps[1:]


def _margins(answers: Array) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = margin(torch.from_numpy(answers)).double().numpy()
    return values


def _smoothed(margins: npt.NDArray[np.float64], failures: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How likely a sample of some margin fails: never more likely than one of a smaller margin.

    Between the middles of pooled ranks it falls evenly: where hundreds of samples were equally likely to fail, all
    of them would leave together or none. Where none of them failed, the next one may: the head's own doubt counts
    as one sample more than there are.
    """
    order = np.argsort(margins, kind="stable")
    pooled = never_rising(failures[order])
    starts = np.flatnonzero(np.append(True, pooled[1:] != pooled[:-1]))
    ends = np.append(starts[1:], len(pooled))
    seen = np.interp(np.arange(len(pooled)), (starts + ends - 1) / 2, pooled[starts])
    doubt = (1 - margins[order]) / 2
    smoothed = np.empty_like(failures)
    smoothed[order] = (len(pooled) * seen + doubt) / (len(pooled) + 1)
    return smoothed


def _leaving(cascade: Cascade, outcomes: list[ExitOutcomes]) -> dict[str, float]:
    """The share of all samples that leave at each exit."""
    here = np.ones(len(outcomes[0].margins), np.bool_)
    shares = {}
    for each in outcomes:
        if each.block in cascade.exits:
            leaves = here & (each.margins > cascade.exits[each.block])
            shares[each.block] = float(leaves.mean())
            here &= ~leaves
    return shares
