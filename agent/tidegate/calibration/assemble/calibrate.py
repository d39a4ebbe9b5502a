"""From a trained network and a split of data to a certified ladder: search on S, certify on C, report on V."""

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tidegate.calibration.assemble.canaries import choose_canaries
from tidegate.calibration.assemble.chains import Chains, greedy_inputs
from tidegate.calibration.assemble.checkpoint import Checkpoint
from tidegate.calibration.assemble.ladder_builder import RUN_INPUTS, LadderBuilder
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.certify.risk import NEWLY_WRONG, RiskMeasure
from tidegate.calibration.data.split import Split
from tidegate.calibration.fit.exit_heads import FittedExits, fit_exits, no_exits
from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.fit.smooth_quant import smoothed
from tidegate.calibration.fit.stand_ins import with_stand_ins
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.energy import Meter
from tidegate.calibration.progress import Progress
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.trials import Workers
from tidegate.calibration.target_engine import TargetEngine, target_engines
from tidegate.engines.engine import REFERENCE
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.models.bundle.evidence import Canaries, Floats, scaled
from tidegate.models.bundle.graph_file import graphs_sha256
from tidegate.models.bundle.ladder_file import Calibration
from tidegate.models.bundle.writer import weights_file
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.models.network import TrainedNetwork

SEARCH_THREADS = 2
"""Fixed for the same reason as in training: sums, and so thresholds, depend on it in the last bits."""

PLAN = Plan()


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibration found: `network` has stand-ins and exits; `short` says why engines' points save little."""

    network: TrainedNetwork
    ladder: Ladder
    calibration: Calibration
    canaries: Canaries
    short: tuple[str, ...]


def calibrate(
    network: TrainedNetwork,
    split: Split,
    scale: float,
    progress: Progress,
    plan: Plan = PLAN,
    checkpoint: Path | None = None,
    meter: Meter | None = None,
    workers: Workers | None = None,
) -> Calibrated:
    """A ladder for the plan's engines. Sets torch's thread count for this process.

    With a `checkpoint` directory what is found is kept there as it grows, and taken up again from there. With a
    `meter` the energy of the rungs is measured too. `workers` try a greedy search's moves, with the same result as
    without. Raises TargetEngineError for an engine that isn't here.
    """
    targets = target_engines(plan.engines)
    torch.set_num_threads(SEARCH_THREADS)
    search_inputs = scaled(split.search.inputs, scale)
    if Knob.INT8 in plan.knobs:
        network = smoothed(network, search_inputs)
    progress("fitting stand-ins and exits")
    exits = fitted(network, search_inputs, plan.objective.risk, Knob.EXITS in plan.knobs)
    network = exits.network
    record = _record(network, split, plan, targets)
    # The greedy chain is sought on eager: it holds whatever engines are certified afterwards.
    key = replace(record, engines={})
    earlier = None if checkpoint is None else Checkpoint(checkpoint, {"record": key})
    observer = HistogramObserver(network, search_inputs[:RUN_INPUTS])
    chains = Chains(exits, observer, search_inputs, split.search.truth, plan, progress, earlier, workers)
    if AUTO in plan.engines:
        targets = (chains.fastest(targets),)
    chosen = {target.name: chains.best(target) for target in targets}
    record = replace(
        record,
        search={
            **record.search,
            "strategy": ", ".join(f"{each.strategy} on {name}" for name, each in chosen.items()),
        },
        measured_on=_measured_on(targets, meter),
        engines={target.name: target.runtime for target in targets},
    )
    by_engine = {}
    for target in targets:
        builder = LadderBuilder(
            network, observer, chosen[target.name], split, scale, plan, len(targets), earlier, meter
        )
        by_engine[target.name] = builder.rungs(target, progress)
    ladder = Ladder(merged({name: rungs.points for name, rungs in by_engine.items()}))
    short = tuple(rungs.short for rungs in by_engine.values() if rungs.short is not None)
    torch.set_num_threads(SEARCH_THREADS)
    engines = {target.name: target.over(network) for target in targets}
    # Points in fp32 name eager, whose arithmetic every engine has.
    variants = [engines.get(point.engine, engines[targets[0].name]).prepare(point) for point in ladder.points]
    canaries = choose_canaries(variants, search_inputs, plan.objective.risk.comparison)
    return Calibrated(network, ladder, record, canaries, short)


def fitted(
    network: TrainedNetwork, search_inputs: Floats, risk: RiskMeasure = NEWLY_WRONG, with_exits: bool = True
) -> FittedExits:
    """The network with stand-ins and, if wanted, exit heads fitted on part S: float32 (n, *input shape).

    Stand-ins are fitted on what a greedy search is not judged by; exits on all, as no fit judges its own samples.
    """
    able = with_stand_ins(network, search_inputs[: len(search_inputs) - greedy_inputs(len(search_inputs))])
    if not with_exits:
        return no_exits(able)
    return fit_exits(able, KnobSettings(), search_inputs, risk.loss)


def merged(by_engine: dict[str, tuple[OperatingPoint, ...]]) -> tuple[OperatingPoint, ...]:
    """One ladder of all engines' points, by certified loss and then by operations; each engine's order stays.

    Points in fp32 run on every engine: one engine's are enough. Where there are several engines, points that only
    one of them can run carry its name.
    """
    first, *others = by_engine.values()
    points = [*first, *(point for rungs in others for point in rungs if point.engine != REFERENCE)]
    if others:
        points = [
            point if point.engine == REFERENCE else replace(point, name=f"{point.name}-{point.engine}")
            for point in points
        ]

    def place(point: OperatingPoint) -> tuple[float, float]:
        risk = 1.0 if point.certified_risk is None else point.certified_risk
        return risk, -point.figures.flops_ratio

    return (points[0], *sorted(points[1:], key=place))


def _record(network: TrainedNetwork, split: Split, plan: Plan, targets: Sequence[TargetEngine]) -> Calibration:
    return Calibration(
        weights_sha256=hashlib.sha256(weights_file(network)).hexdigest(),
        graphs_sha256=graphs_sha256(network),
        data=split.name,
        parts={name: part.sha256 for name, part in split.parts.items()},
        failure=plan.objective.risk.text,
        comparison=plan.objective.risk.comparison,
        search=plan.search,
        alphas=plan.alphas,
        delta=plan.delta,
        seed=split.seed,
        torch=str(torch.__version__),
        measured_on="",
        engines={target.name: target.runtime for target in targets},
    )


def _measured_on(targets: Sequence[TargetEngine], meter: Meter | None) -> str:
    energy = "" if meter is None else f"; energy by {meter.source}"
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, threads as the point says; "
        f"points of engine {REFERENCE} on {targets[0].name}{energy}"
    )
