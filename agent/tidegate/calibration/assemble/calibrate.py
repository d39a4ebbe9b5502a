"""From a trained network and a split of data to a certified ladder: search on S, certify on C, report on V."""

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from tidegate.calibration.assemble.canaries import choose_canaries
from tidegate.calibration.assemble.checkpoint import Checkpoint
from tidegate.calibration.assemble.ladder_builder import RungMaker
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.data.split import Split
from tidegate.calibration.fit.exit_heads import with_exit_heads
from tidegate.calibration.fit.stand_ins import with_stand_ins
from tidegate.calibration.knob_settings import Setting
from tidegate.calibration.measure.energy import Meter
from tidegate.calibration.progress import Progress
from tidegate.calibration.search.chain_choice import best_course
from tidegate.calibration.search.greedy_search import Search, Step
from tidegate.calibration.search.search_space import menu_of
from tidegate.calibration.search.strategy import Course, courses_for
from tidegate.calibration.target_engine import Host, hosts_for
from tidegate.engines.engine import REFERENCE
from tidegate.models.bundle_writer import weights_file
from tidegate.models.evidence import Canaries, Floats, scaled
from tidegate.models.graph_file import graphs_sha256
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.models.ladder_file import Calibration
from tidegate.models.network import TrainedNetwork

SEARCH_THREADS = 2
"""Fixed for the same reason as in training: sums, and so thresholds, depend on it in the last bits."""

PLAN = Plan()


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibration found: `network` has stand-ins and exits."""

    network: TrainedNetwork
    ladder: Ladder
    calibration: Calibration
    canaries: Canaries


def calibrate(
    network: TrainedNetwork,
    split: Split,
    scale: float,
    progress: Progress,
    plan: Plan = PLAN,
    checkpoint: Path | None = None,
    meter: Meter | None = None,
) -> Calibrated:
    """A ladder for the plan's engines. Sets torch's thread count for this process.

    With a `checkpoint` directory what is found is kept there as it grows, and taken up again from there. With a
    `meter` the energy of the rungs is measured too. Raises HostError for an engine that isn't here.
    """
    hosts = hosts_for(plan.engines)
    torch.set_num_threads(SEARCH_THREADS)
    search_inputs = scaled(split.search.inputs, scale)
    progress("fitting stand-ins and exits")
    network = fitted(network, search_inputs)
    record = _record(network, split, plan, hosts)
    # The chain is sought on eager: it holds whatever engines are certified afterwards.
    key = replace(record, engines={})
    earlier = None if checkpoint is None else Checkpoint(checkpoint, {"record": key})
    course, chain = _chain(network, search_inputs, plan, earlier, progress)
    record = replace(record, search={**record.search, "course": course}, measured_on=_measured_on(hosts, meter))
    maker = RungMaker(network, chain, split, scale, plan, len(hosts), earlier, meter)
    by_host = {host.name: maker.rungs(host, progress) for host in hosts}
    ladder = Ladder(joined(by_host))
    torch.set_num_threads(SEARCH_THREADS)
    engines = {host.name: host.over(network) for host in hosts}
    # Points in fp32 name eager, whose arithmetic every engine has.
    variants = [engines.get(point.engine, engines[hosts[0].name]).prepare(point) for point in ladder.points]
    canaries = choose_canaries(variants, search_inputs)
    return Calibrated(network, ladder, record, canaries)


def fitted(network: TrainedNetwork, search_inputs: Floats) -> TrainedNetwork:
    """The network with its stand-ins and exit heads."""
    return with_exit_heads(with_stand_ins(network, search_inputs), Setting(), search_inputs)


def joined(by_host: dict[str, tuple[OperatingPoint, ...]]) -> tuple[OperatingPoint, ...]:
    """One ladder of all engines' points, by certified loss and then by operations; each engine's order stays.

    Points in fp32 run on every engine: one engine's are enough. Where there are several engines, points that only
    one of them can run carry its name.
    """
    first, *others = by_host.values()
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


def _chain(
    network: TrainedNetwork,
    inputs: Floats,
    plan: Plan,
    checkpoint: Checkpoint | None,
    progress: Progress,
) -> tuple[Course, tuple[Step, ...]]:
    """Of the chains of all courses, the one that S says is best."""

    def report(course: Course, step: Step) -> None:
        if checkpoint is not None:
            checkpoint.add(course, step)
        progress(
            f"{course}: {step.move or 'full'}: loss {step.loss:.4f}, answers changed {step.disagreement:.1%}, "
            f"operations {step.cost.flops_ratio:.0%}, bytes {step.cost.memory_ratio:.0%}",
            share=1 - plan.aim.cost(step.cost),
        )

    menu = menu_of(network, plan.knobs, inputs)
    search = Search(network, menu, inputs, plan.aim)
    chains = {}
    for course in courses_for(menu):
        found = () if checkpoint is None else checkpoint.steps(course)
        if found:
            progress(f"{course}: taking up an earlier search at step {len(found)}")
        chains[course] = search.chain(course, partial(report, course), found)
    chosen = best_course(chains, plan.aim, plan.alphas)
    if len(chains) > 1:
        progress(f"by what S says, the chain is: {chosen}")
    return chosen, chains[chosen]


def _record(network: TrainedNetwork, split: Split, plan: Plan, hosts: Sequence[Host]) -> Calibration:
    return Calibration(
        weights_sha256=hashlib.sha256(weights_file(network)).hexdigest(),
        graphs_sha256=graphs_sha256(network),
        data=split.name,
        parts={name: part.sha256 for name, part in split.parts.items()},
        failure=plan.aim.risk.text,
        comparison=plan.aim.risk.comparison,
        search=plan.search,
        alphas=plan.alphas,
        delta=plan.delta,
        seed=split.seed,
        torch=str(torch.__version__),
        measured_on="",
        engines={host.name: host.runtime for host in hosts},
    )


def _measured_on(hosts: Sequence[Host], meter: Meter | None) -> str:
    energy = "" if meter is None else f"; energy by {meter.source}"
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, threads as the point says; "
        f"points of engine {REFERENCE} on {hosts[0].name}{energy}"
    )
