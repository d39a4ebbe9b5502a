"""`tidegate bench ladder`: what gating rules lose at equal operations, and what is certified of the ladder."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.certify.certification import certify
from tidegate.calibration.certify.risk import newly_wrong
from tidegate.calibration.data.digits.data import SCALE, load_split
from tidegate.calibration.data.digits.training import fit, set_up
from tidegate.calibration.data.passes import forward_all
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.progress import Progress, silent
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle.evidence import scaled
from tidegate.models.graph.flops import segment_flops
from tidegate.models.importing.discovery import discover
from tidegate.models.network import TrainedNetwork
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.ladder.gates import BASELINES, RULES, Subject
from tidegate_bench.ladder.nets import NETS

LEVELS = (0.8, 0.6, 0.4, 0.3, 0.2)
"""Shares of the full model's operations at which rules are compared."""

THREADS = 1
"""Small batches on small nets: a second thread mostly waits."""

ALPHA, DELTA = 0.015, 0.05
FLOPS_GOALS = {"residual": 0.40, "residual, stochastic depth": 0.30}


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is run; `training` is the share of each net's epochs."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    training: float = 1.0
    nets: tuple[str, ...] = tuple(NETS)


QUICK = Extent(seeds=(0,), training=0.4, nets=("residual",))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One setting on held-out data: share of the full operations, blocks skipped, and which samples fail."""

    flops_ratio: float
    skip_ratio: float
    failed: np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One net at one seed: outcomes by rule on the parts C and V together; the first `certify` samples are C."""

    net: str
    seed: int
    accuracy: float
    outcomes: dict[str, list[Outcome]]
    certify: int


def run(*, quick: bool, progress: Progress = silent) -> Figures:
    """Train, gate, measure. Sets torch's seed and thread count for this process."""
    extent = QUICK if quick else Extent()
    trials = [_trial(net, seed, extent, progress) for net in extent.nets for seed in extent.seeds]
    rows = [*_comparison(trials, extent), *_certified(trials, extent)]
    return Figures("ladder", rows, [*_flops_goals(trials), _better_everywhere(rows)])


def _trial(net: str, seed: int, extent: Extent, progress: Progress) -> Trial:
    progress(f"{net}, seed {seed}: training")
    split = load_split(seed)
    set_up(seed)
    model = NETS[net].make()
    torch.set_num_threads(THREADS)
    fit(model, split.train, round(extent.training * NETS[net].epochs))
    inputs = scaled(split.search.inputs, SCALE)
    exits = fitted(discover(model, torch.zeros(2, *inputs.shape[1:])).network, inputs)
    network = exits.network
    held = [split.certify, split.report]
    held_inputs = scaled(np.concatenate([part.inputs for part in held]), SCALE)
    labels = np.concatenate([part.labels for part in held if part.labels is not None])
    subject = Subject(exits, inputs, seed)
    outcomes = {}
    for rule, settings_of in RULES.items():
        progress(f"{net}, seed {seed}: {rule}")
        outcomes[rule] = list(_outcomes(network, settings_of(subject), held_inputs, labels))
    full = forward_all(EagerEngine(network).build(KnobSettings()), held_inputs).outputs
    accuracy = float((full.argmax(1) == labels).mean())
    return Trial(net, seed, accuracy, outcomes, len(split.certify))


def _outcomes(
    network: TrainedNetwork, settings: Sequence[KnobSettings], inputs: np.ndarray, labels: np.ndarray
) -> Iterator[Outcome]:
    engine = EagerEngine(network)
    full_flops = len(inputs) * sum(segment_flops(segment, network.weight_shapes) for segment in network.segments)
    full = forward_all(engine.build(KnobSettings()), inputs).outputs
    for setting in settings:
        done = forward_all(engine.build(setting), inputs)
        total = len(inputs) * len(done.executed)
        skipped = 1 - sum(done.executed.values()) / total
        yield Outcome(done.flops / full_flops, skipped, newly_wrong(full, done.outputs, labels))


def _comparison(trials: Sequence[Trial], extent: Extent) -> Iterator[dict[str, Cell]]:
    """Per net, rule and level: the mean over seeds of what the rule loses within that many operations."""
    for net in extent.nets:
        for rule in RULES:
            for level in LEVELS:
                found = [_within(trial.outcomes[rule], level) for trial in trials if trial.net == net]
                reached = [point for point in found if point is not None]
                # A rule that gets there at some seeds only has no mean to compare.
                whole = len(reached) == len(found)
                wrong = [wrong for _, wrong in reached]
                yield {
                    "net": net,
                    "gate": rule,
                    "operations_within": level,
                    "blocks_skipped": float(np.mean([skipped for skipped, _ in reached])) if whole else None,
                    "newly_wrong": float(np.mean(wrong)) if whole else None,
                    "newly_wrong_worst": max(wrong) if whole else None,
                    "seeds": len(reached),
                }


def _within(outcomes: Sequence[Outcome], level: float) -> tuple[float, float] | None:
    """Blocks skipped and newly wrong of the costliest points within the level; None: the rule has none.

    Points of equal operations (random draws) are averaged.
    """
    inside = [outcome for outcome in outcomes if outcome.flops_ratio <= level]
    if not inside:
        return None
    costliest = max(outcome.flops_ratio for outcome in inside)
    chosen = [outcome for outcome in inside if outcome.flops_ratio >= costliest - 0.01]
    return (
        float(np.mean([outcome.skip_ratio for outcome in chosen])),
        float(np.mean([outcome.failed.mean() for outcome in chosen])),
    )


def _certified(trials: Sequence[Trial], extent: Extent) -> Iterator[dict[str, Cell]]:
    """Per net: the cheapest point of the ladder certified at 1.5 %, and what it loses on V."""
    for net in extent.nets:
        of_net = [trial for trial in trials if trial.net == net]
        choices = [_choice(trial) for trial in of_net]
        flops = [outcome.flops_ratio for outcome in choices]
        yield {
            "net": net,
            "gate": "ladder, certified at 1.5 %",
            "operations": float(np.mean(flops)),
            "operations_worst": max(flops),
            "blocks_skipped": float(np.mean([outcome.skip_ratio for outcome in choices])),
            "newly_wrong": float(
                np.mean([o.failed[t.certify :].mean() for o, t in zip(choices, of_net, strict=True)])
            ),
            "full_accuracy": float(np.mean([trial.accuracy for trial in of_net])),
            "seeds": len(choices),
        }


def _choice(trial: Trial) -> Outcome:
    chain = trial.outcomes["ladder"]
    failures = [int(outcome.failed[: trial.certify].sum()) for outcome in chain[1:]]
    found = certify(failures, trial.certify, [ALPHA], DELTA)
    count = sum(certificate is not None for certificate in found.certificates)
    return min(chain[: count + 1], key=lambda outcome: outcome.flops_ratio)


def _flops_goals(trials: Sequence[Trial]) -> Iterator[Goal]:
    by_net = defaultdict(list)
    for trial in trials:
        by_net[trial.net].append(_choice(trial).flops_ratio)
    for net, target in FLOPS_GOALS.items():
        if net in by_net:
            goal = f"{net}: operations of the cheapest point certified at 1.5 %, mean over seeds"
            yield Goal(goal, target, float(np.mean(by_net[net])), at_least=False)


def _better_everywhere(rows: Sequence[dict[str, Cell]]) -> Goal:
    """Where a baseline can't get to a level at all, there is nothing to compare."""
    wrong = {(row["net"], row["gate"], row.get("operations_within")): row["newly_wrong"] for row in rows}
    lost = 0
    for (net, gate, level), value in wrong.items():
        own = wrong.get((net, "ladder", level))
        if gate in BASELINES and isinstance(value, float) and level is not None:
            lost += not isinstance(own, float) or own > value
    goal = "comparisons with random, static and the paper's gate that the ladder loses"
    return Goal(goal, 0, lost, at_least=False)
