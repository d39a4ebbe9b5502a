"""`tidegate bench routing-classification`: the routing paper's classification experiment (section 5.2).

The paper's network was never trained (8.75 % accuracy on ten classes). Here it is shown both ways, with and
without a shortcut beside each block, and against skipping the same number of blocks for every input.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.staged import StagedNetwork
from tidegate.models.ladder import Activity
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.routing.labelled_images import LabelledImages, load_images
from tidegate_bench.routing.metrics import Measured, measure, summary
from tidegate_bench.routing.net import PlainBlock, ResidualBlock, RoutingNet, routing_net
from tidegate_bench.routing.options import ClassificationOptions
from tidegate_bench.routing.output import write_csv, write_plot
from tidegate_bench.routing.scores import ACTIVITIES, Scores, block_scores, quantile
from tidegate_drivers.energy_meter import EnergyMeter, NoMeter, find_energy_meter

_PAPERS_RULE = "one threshold on mean |x|"
ABLATION = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
RATES = (0.1, 0.25, 0.5, 0.75)
"""Share of inputs, on the training part, whose activity lies below a block's own threshold."""

EPOCHS = 15
BATCH = 50
MAX_TRAINING_STEPS = 6000
MAX_NEWLY_WRONG = 0.015
PUBLISHED_SKIP_RATIO = 0.667

SHOWN = (
    "network",
    "rule",
    "tau",
    "skip_ratio_as_the_paper_counts",
    "skip_ratio",
    "accuracy",
    "newly_wrong",
    "latency_median_ms",
    "throughput_per_s",
)
"""What a person sees; the JSON line and the CSV have all of the paper's metrics."""

Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way to make the network."""

    name: str
    block: type[PlainBlock] | type[ResidualBlock]
    trained: bool


KINDS = (
    _Kind("plain, untrained (the paper's)", PlainBlock, trained=False),
    _Kind("plain, trained", PlainBlock, trained=True),
    _Kind("residual, trained", ResidualBlock, trained=True),
)


@dataclass(frozen=True, slots=True)
class _Subject:
    """One network of one run, ready to be gated, with what gates would see on training data."""

    net: RoutingNet
    engine: EagerEngine
    scores: Mapping[Activity, Mapping[str, Scores]]


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule's name and threshold for the table, and the setting it makes for one network."""

    name: str
    tau: float | str
    setting: Callable[[_Subject], KnobSettings]


def run(options: ClassificationOptions, progress: Progress) -> Figures:
    """Every kind of network under every rule. Raises DataError and PlotError. Sets torch's seed."""
    images = load_images(options.dataset, options.data, options.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = find_energy_meter()
    meter = None if isinstance(found, NoMeter) else found
    rows: list[Row] = []
    try:
        for kind in KINDS:
            progress(f"{kind.name}: {options.runs} runs")
            subjects = [_made(kind, options, images, options.seed + number) for number in range(options.runs)]
            rows.extend(_rows(kind, subjects, options, images, meter))
    finally:
        torch.set_num_threads(threads)
    if options.output is not None:
        write_csv(options.output, rows)
        gated = [row for row in rows if row["rule"] == _PAPERS_RULE]
        title = f"accuracy under the paper's gate, {images.name}"
        write_plot(options.output.with_suffix(".png"), gated, "network", "accuracy", title)
    return Figures("routing-classification", rows, [_goal(rows)], SHOWN)


def _rules(options: ClassificationOptions) -> Iterator[_Rule]:
    yield _Rule("full", "-", lambda _: KnobSettings())
    for tau in dict.fromkeys((options.threshold, *ABLATION)):
        yield _Rule(_PAPERS_RULE, tau, partial(_one_threshold, tau))
    for activity, rate in itertools.product(ACTIVITIES, RATES):
        name = f"each block's own threshold on {activity}, {rate:.0%}"
        yield _Rule(name, "-", partial(_own_thresholds, activity, rate))
    for count in range(1, options.layers):
        yield _Rule(f"last {count} of {options.layers} blocks skipped", "-", partial(_without_last, count))


def _one_threshold(tau: float, subject: _Subject) -> KnobSettings:
    return KnobSettings(thresholds=dict.fromkeys(subject.net.blocks, tau))


def _own_thresholds(activity: Activity, rate: float, subject: _Subject) -> KnobSettings:
    found = {block: quantile([scores], rate) for block, scores in subject.scores[activity].items()}
    thresholds = {block: tau for block, tau in found.items() if tau is not None}
    return KnobSettings(thresholds=thresholds, activity=activity)


def _without_last(count: int, subject: _Subject) -> KnobSettings:
    return KnobSettings(skip=frozenset(subject.net.blocks[-count:]))


def _made(kind: _Kind, options: ClassificationOptions, images: LabelledImages, seed: int) -> _Subject:
    torch.manual_seed(seed)
    size = int(np.prod(images.train.shape[1:]))
    net = routing_net(options.dim, options.layers, kind.block, size, images.classes)
    if kind.trained:
        _train(net, images)
    engine = EagerEngine(net.exported())
    scores = {activity: block_scores(engine, images.train, activity) for activity in ACTIVITIES}
    return _Subject(net, engine, scores)


def _train(net: RoutingNet, images: LabelledImages) -> None:
    model = nn.Sequential(*(module for _, module in net.modules))
    inputs, labels = torch.from_numpy(images.train), torch.from_numpy(images.train_labels)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    steps = min(MAX_TRAINING_STEPS, EPOCHS * -(-len(labels) // BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(steps):
        index = torch.randint(len(labels), (BATCH,))
        loss = loss_of(model(inputs[index]), labels[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _rows(
    kind: _Kind,
    subjects: Sequence[_Subject],
    options: ClassificationOptions,
    images: LabelledImages,
    meter: EnergyMeter | None,
) -> Iterator[Row]:
    full: list[Measured] = []
    for rule in _rules(options):
        networks: list[StagedNetwork] = [subject.engine.build(rule.setting(subject)) for subject in subjects]
        measured = [measure(network, images.test, options.batch_size, meter) for network in networks]
        full = full or measured
        published: float | str = "-"
        if isinstance(rule.tau, float):
            tau, test = rule.tau, torch.from_numpy(images.test)
            published = float(np.mean([subject.net.published_skip_ratio(test, tau) for subject in subjects]))
        cells: Row = {"network": kind.name, "rule": rule.name, "tau": rule.tau}
        cells |= {"skip_ratio_as_the_paper_counts": published}
        yield cells | _accuracy(full, measured, images) | summary(measured)


def _accuracy(full: Sequence[Measured], measured: Sequence[Measured], images: LabelledImages) -> Row:
    labels = images.test_labels
    right = [run.outputs.argmax(1) == labels for run in measured]
    was_right = [run.outputs.argmax(1) == labels for run in full]
    lost = [(before & ~now).mean() for before, now in zip(was_right, right, strict=True)]
    return {
        "accuracy": float(np.mean([run.mean() for run in right])),
        "accuracy_std_over_runs": float(np.std([run.mean() for run in right])),
        "newly_wrong": float(np.mean(lost)),
    }


def _goal(rows: Sequence[Row]) -> Goal:
    """What the abstract claims, of a trained network: blocks skipped by the gate at next to no loss."""
    judged = [row for row in rows if row["rule"] == _PAPERS_RULE and row["network"] != KINDS[0].name]
    kept = [row for row in judged if float(row["newly_wrong"] or 0) <= MAX_NEWLY_WRONG]
    ratios = [float(row["skip_ratio"] or 0) for row in kept]
    text = "blocks skipped by the paper's gate on a trained net at <= 1.5 % newly wrong (the paper: up to 70 %)"
    return Goal(text, PUBLISHED_SKIP_RATIO, max(ratios, default=None))
