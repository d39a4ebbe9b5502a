"""`tidegate bench calibration`: how long it takes to make a ladder, from a trained net to measured rungs."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tidegate.calibration.assemble.calibrate import SEARCH_THREADS, calibrate
from tidegate.calibration.assemble.model_bundle import split_sizes
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.data.digits.data import SCALE, load_split
from tidegate.calibration.data.digits.training import EPOCHS, train
from tidegate.calibration.data.split import Split
from tidegate.calibration.progress import Progress, silent
from tidegate.calibration.search.goal import Goal as Wanted
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.models.importing.discovery import discover
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.ladder.large_digits import large_digits, trained_resnet18

PICTURES = 1000
TRAINED_ON = 500
RESNET18_FLOPS = 3_640_000_000
"""Of one picture of 3x224x224."""

PIXEL_SCALE = 1 / 255

PLAN = Plan.towards(Wanted.BALANCED, engines=(AUTO,))
"""What `bundle build` does when nothing else is said."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A trained net with its data, made only when its turn comes; `goal_s` is how long its ladder may take."""

    name: str
    goal_s: float
    make: Callable[[Progress], tuple[nn.Module, Split, float]]


def run(*, quick: bool, progress: Progress = silent) -> Figures:
    """Calibrate one net after the other; quick leaves the large one out. Sets torch's seed and thread count."""
    subjects = SUBJECTS[:1] if quick else SUBJECTS
    rows = [_row(subject, progress) for subject in subjects]
    goals = [
        Goal(
            f"{subject.name}: seconds from a trained net to its ladder",
            subject.goal_s,
            _seconds(row),
            at_least=False,
        )
        for subject, row in zip(subjects, rows, strict=True)
    ]
    return Figures("calibration", rows, goals)


def _row(subject: Subject, progress: Progress) -> dict[str, Cell]:
    net, split, scale = subject.make(progress)
    start, cpu_start = time.monotonic(), time.process_time()
    network = discover(net, torch.zeros(2, *split.search.inputs.shape[1:])).network
    found = calibrate(network, split, scale, progress, PLAN)
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu_start
    return {
        "net": subject.name,
        "input": "x".join(map(str, split.search.inputs.shape[1:])),
        "searched_on": len(split.search),
        "certified_on": len(split.certify),
        "engines": ", ".join(sorted({point.engine for point in found.ladder.points})),
        "points": len(found.ladder.points),
        "full_accuracy": found.ladder.full.figures.accuracy,
        "cheapest_operations": found.ladder.cheapest.figures.flops_ratio,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "threads": SEARCH_THREADS,
        "load_before": os.getloadavg()[0],
    }


def _seconds(row: dict[str, Cell]) -> float | None:
    value = row["seconds"]
    return value if isinstance(value, float) else None


def _demo(progress: Progress) -> tuple[nn.Module, Split, float]:
    split = load_split(0)
    return train(split.train, 0, EPOCHS, progress), split, SCALE


def _large(progress: Progress) -> tuple[nn.Module, Split, float]:
    progress("drawing pictures")
    split = large_digits((TRAINED_ON, *split_sizes(PICTURES, RESNET18_FLOPS)))
    return trained_resnet18(split, PIXEL_SCALE, progress), split, PIXEL_SCALE


SUBJECTS = (
    Subject("demo", 180, _demo),
    Subject("ResNet-18", 1800, _large),
)
