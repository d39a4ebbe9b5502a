"""`tidegate bench adaptive-activation`: memory against accuracy loss, per network and target.

Accuracy comes from small variants trained here on real digits, or from a user's own weights and data at full size.
Full-size networks without them are run with random weights, for memory and latency alone.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tidegate.calibration.fit.activation_statistics import collect_statistics, sampled
from tidegate.engines.reference.tracing import Tracer
from tidegate_bench.adaptive_activation.full_size import full_size_rows
from tidegate_bench.adaptive_activation.own_images import load_own
from tidegate_bench.adaptive_activation.problem import Data
from tidegate_bench.adaptive_activation.sensitivity import rank_list, sensitivities
from tidegate_bench.adaptive_activation.study import OPTIMUM_MODEL, AdaptiveStudy, Row, Study
from tidegate_bench.adaptive_activation.targets import target_rows
from tidegate_bench.adaptive_activation.zoo_on_digits import EPOCHS, Trained, train_small
from tidegate_bench.figures import Figures, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.zoo.catalog import ZOO

MODELS = ("lenet", "resnet18", "mobilenet_v2", "vgg16")
QUICK_MODELS = ("lenet",)
QUICK_EPOCHS = 20
MORE_EPOCHS = {"mobilenet_v2": 60}
"""Depthwise convolutions learn slower on so few images."""

REDUCTION_GOAL = 0.38
NETS_GOAL = 2
GAP_GOAL_KL = 0.01
_SENSITIVITY_INPUTS = 100


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. `resolution` is the full-size networks'; `weights` and `images` are for a single model."""

    models: Sequence[str] = MODELS
    resolution: int | None = None
    target: str = "memory"
    seed: int = 0
    quick: bool = False
    weights: Path | None = None
    images: Path | None = None
    sensitivity: Path | None = None


def run(options: Options, progress: Progress) -> Figures:
    """Train, search, certify, report. Raises DataError, WeightsError and BrokenError. Sets torch's seed."""
    threads = torch.get_num_threads()
    rows: list[Row] = []
    studies: dict[str, Study] = {}
    try:
        for model in options.models:
            trained = _trained(model, options, progress)
            if options.target == "memory":
                studies[model] = AdaptiveStudy(model, trained, options.quick, progress).run()
                rows.extend(studies[model].rows)
            else:
                rows.extend(target_rows(model, trained, options.target))
            if options.sensitivity is not None:
                _write_sensitivity(options.sensitivity, model, trained, progress)
    finally:
        torch.set_num_threads(threads)
    if options.target == "memory" and not options.quick:
        for model in options.models:
            resolution = options.resolution or ZOO[model].resolution
            rows.extend(full_size_rows(model, resolution, options.weights, progress))
    return Figures("adaptive-activation", rows, _goals(studies))


def _trained(model: str, options: Options, progress: Progress) -> Trained:
    if options.weights is not None and options.images is not None:
        resolution = options.resolution or ZOO[model].resolution
        return load_own(model, resolution, options.weights, options.images, options.seed)
    epochs = QUICK_EPOCHS if options.quick else MORE_EPOCHS.get(model, EPOCHS)
    progress(f"{model}: training the small variant on digits, {epochs} epochs")
    return train_small(model, options.seed, epochs)


def _goals(studies: dict[str, Study]) -> list[Goal]:
    goals = [
        Goal(
            f"{model}: less than uniform int8 (weights + encoded live activations) at certified loss <= 1.5 %",
            REDUCTION_GOAL,
            study.certified_reduction,
        )
        for model, study in studies.items()
    ]
    goals.extend(
        Goal(f"{model}: KL above the exhaustive optimum's", GAP_GOAL_KL, study.optimum_gap_kl, at_least=False)
        for model, study in studies.items()
        if model == OPTIMUM_MODEL
    )
    reached = sum((study.certified_reduction or 0) >= REDUCTION_GOAL for study in studies.values())
    if len(studies) >= NETS_GOAL:
        goals.append(Goal("networks that reach it", NETS_GOAL, reached))
    return goals


def _write_sensitivity(path: Path, model: str, trained: Trained, progress: Progress) -> None:
    """Append every knob's own effect as CSV, the rank list first."""
    inputs = sampled(trained.search.inputs, _SENSITIVITY_INPUTS)
    labels = sampled(trained.search.labels, _SENSITIVITY_INPUTS)
    statistics = collect_statistics(Tracer(trained.network), inputs)
    found = sensitivities(trained.network, statistics, Data(inputs, labels), progress)
    ranked = rank_list(found)
    ordered = [*ranked, *(one for one in found if one.loss_per_mib is None)]
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["model", *asdict(ordered[0]), "loss_per_mib"])
        writer.writerows([model, *asdict(one).values(), one.loss_per_mib] for one in ordered)
