"""`tidegate bench routing-synthetic`: the routing paper's synthetic experiment (section 5.1), counted honestly."""

from dataclasses import dataclass

import numpy as np
import torch

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.ladder import Activity
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.routing.metrics import Measured, measure, skip_ratio, summary
from tidegate_bench.routing.net import PlainBlock, RoutingNet, routing_net
from tidegate_bench.routing.options import SyntheticOptions
from tidegate_bench.routing.output import write_csv, write_plot
from tidegate_bench.routing.scores import ACTIVITIES, block_scores, quantile
from tidegate_bench.routing.theory import gated_cost, paper_skip_probability, skip_probability
from tidegate_drivers.energy_meter import EnergyMeter, NoMeter, find_energy_meter

ABLATION = (0.05, 0.1, 0.2, 0.4, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Around the paper's 0.1, and around 0.798 where the corrected formula has its step."""

RATES = (0.25, 0.5, 0.75)
"""For every activity function: the threshold below which that share of all blocks' scores lies, ungated."""

PREDICTION_TOLERANCE = 0.05

SHOWN = (
    "rule",
    "tau",
    "skip_ratio_as_the_paper_counts",
    "skip_ratio",
    "first_block_skipped",
    "first_block_predicted",
    "first_block_by_the_papers_formula",
    "latency_median_ms",
    "throughput_per_s",
    "rss_peak_mib",
)
"""What a person sees; the JSON line and the CSV have all of the paper's metrics."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One draw of weights and inputs."""

    net: RoutingNet
    engine: EagerEngine
    inputs: Array


@dataclass(frozen=True, slots=True)
class _Row:
    """One threshold; `prediction_error` is of the first block's skip probability, as only its input is N(0, 1)."""

    cells: dict[str, Cell]
    prediction_error: float


def run(options: SyntheticOptions) -> Figures:
    """Full net, the threshold asked for, and the ablation; one thread. Raises PlotError. Sets torch's seed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runs = [_drawn(options, options.seed + number) for number in range(options.runs)]
        found = find_energy_meter()
        meter = None if isinstance(found, NoMeter) else found
        full = [measure(run.engine.build(KnobSettings()), run.inputs, options.batch_size, meter) for run in runs]
        thresholds = dict.fromkeys((options.threshold, *ABLATION))
        gated = [_row(options, runs, tau, meter) for tau in thresholds]
        others = [_ablation(options, runs, activity, rate, meter) for activity in ACTIVITIES for rate in RATES]
    finally:
        torch.set_num_threads(threads)
    rows: list[dict[str, Cell]] = [
        {"rule": "full", "tau": "-", **summary(full)},
        *(row.cells for row in gated),
        *others,
    ]
    if options.output is not None:
        write_csv(options.output, rows)
        title = f"mean |x| gate, {options.layers} blocks of {options.dim}, inputs N(0, 1)"
        write_plot(options.output.with_suffix(".png"), [row.cells for row in gated], "rule", "skip_ratio", title)
    error = max(row.prediction_error for row in gated)
    text = "corrected P(skip) of the first block, off by at most"
    return Figures("routing-synthetic", rows, [Goal(text, PREDICTION_TOLERANCE, error, at_least=False)], SHOWN)


def _drawn(options: SyntheticOptions, seed: int) -> _Run:
    torch.manual_seed(seed)
    net = routing_net(options.dim, options.layers, PlainBlock)
    inputs = np.random.default_rng(seed).normal(size=(options.samples, options.dim)).astype(np.float32)
    return _Run(net, EagerEngine(net.exported()), inputs)


def _row(options: SyntheticOptions, runs: list[_Run], tau: float, meter: EnergyMeter | None) -> _Row:
    measured: list[Measured] = []
    published, first = [], []
    for run in runs:
        setting = KnobSettings(thresholds=dict.fromkeys(run.net.blocks, tau))
        measured.append(measure(run.engine.build(setting), run.inputs, options.batch_size, meter))
        published.append(run.net.published_skip_ratio(torch.from_numpy(run.inputs), tau))
        first.append(float((np.abs(run.inputs).mean(1) <= tau).mean()))
    predicted = skip_probability(tau, 1.0, options.dim)
    cells = {
        "rule": "mean |x| <= tau is skipped",
        "tau": tau,
        "skip_ratio_as_the_paper_counts": float(np.mean(published)),
        "first_block_skipped": float(np.mean(first)),
        "first_block_predicted": predicted,
        "first_block_by_the_papers_formula": paper_skip_probability(tau, 1.0, options.dim),
        "cost_model_ratio": _cost_ratio(options, skip_ratio(measured)),
        **summary(measured),
    }
    return _Row(cells, abs(float(np.mean(first)) - predicted))


def _ablation(
    options: SyntheticOptions, runs: list[_Run], activity: Activity, rate: float, meter: EnergyMeter | None
) -> dict[str, Cell]:
    """One threshold for all blocks on another activity function."""
    measured: list[Measured] = []
    taus = []
    for run in runs:
        tau = quantile(block_scores(run.engine, run.inputs, activity).values(), rate)
        setting = KnobSettings(
            thresholds={} if tau is None else dict.fromkeys(run.net.blocks, tau), activity=activity
        )
        measured.append(measure(run.engine.build(setting), run.inputs, options.batch_size, meter))
        taus.extend([] if tau is None else [tau])
    rule = f"{activity} below its {rate:.0%} quantile is skipped"
    return {"rule": rule, "tau": float(np.mean(taus)) if taus else "-", **summary(measured)}


def _cost_ratio(options: SyntheticOptions, skipped: float) -> float:
    """The paper's expected cost against that of running every block without gates."""
    return gated_cost(skipped, options.layers, options.dim) / (options.layers * options.dim**2)
