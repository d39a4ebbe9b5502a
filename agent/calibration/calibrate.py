"""From a trained network and a split of data to a certified ladder: search on S, certify on C, report on V."""

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from agent.calibration.assembly import name_point, pick_rungs, undominated
from agent.calibration.canaries import choose_canaries
from agent.calibration.certification import Certification, certify
from agent.calibration.chain_choice import best_course
from agent.calibration.checkpoint import Checkpoint
from agent.calibration.cost import CostModel
from agent.calibration.course import Course, courses_for
from agent.calibration.exit_heads import with_exit_heads
from agent.calibration.live_bytes import with_live_bytes
from agent.calibration.measurement import measure_figures
from agent.calibration.menu import menu_of
from agent.calibration.moves import PrecisionMove
from agent.calibration.outcomes import failure_masks
from agent.calibration.plan import Plan
from agent.calibration.search import Aim, Search, Step
from agent.calibration.setting import Setting
from agent.calibration.split import Split
from agent.calibration.stand_ins import with_stand_ins
from agent.engines.eager import NAME, EagerEngine
from agent.models.bundle_writer import weights_file
from agent.models.evidence import Canaries, Floats, scaled
from agent.models.graph_file import graphs_sha256
from agent.models.ladder import Certificate, Figures, Ladder, OperatingPoint
from agent.models.ladder_file import Calibration
from agent.models.network import TrainedNetwork

SEARCH_THREADS = 2
"""Fixed for the same reason as in training: sums, and so thresholds, depend on it in the last bits."""

PLAN = Plan()


class Progress(Protocol):
    """Told what is going on; `share` is how far that is through, 0..1, where it can be told."""

    def __call__(self, text: str, share: float | None = None) -> None: ...


def silent(text: str, share: float | None = None) -> None:
    """A progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibration found: `network` has stand-ins and exits; `certification` covers the whole chain."""

    network: TrainedNetwork
    ladder: Ladder
    calibration: Calibration
    canaries: Canaries
    chain: tuple[Step, ...]
    certification: Certification


def calibrate(
    network: TrainedNetwork,
    split: Split,
    scale: float,
    progress: Progress,
    plan: Plan = PLAN,
    checkpoint: Path | None = None,
) -> Calibrated:
    """A ladder for the eager engine. Sets torch's thread count for this process.

    With a `checkpoint` directory the chain is kept there as it grows, and taken up again from there.
    """
    torch.set_num_threads(SEARCH_THREADS)
    search_inputs = scaled(split.search.inputs, scale)
    progress("fitting stand-ins and exits")
    network = fitted(network, search_inputs)
    engine = EagerEngine(network)
    record = _record(network, split, plan)
    earlier = None if checkpoint is None else Checkpoint(checkpoint, {"record": record})
    chain = _chain(network, search_inputs, plan, earlier, progress)
    certification = _certify(engine, chain, split, scale, plan, progress, earlier)
    chosen = _rungs(chain, certification, plan.aim)
    progress(f"{len(chosen)} of {len(chain)} points become rungs; measuring them")
    settings = [chain[index].setting for index in chosen]
    costs = CostModel(network, engine.build(settings[0]).weights_resident_bytes)
    report_inputs = scaled(split.report.inputs, scale)
    figures = measure_figures(engine, costs, settings, report_inputs, split.report.labels, plan.aim.risk)
    figures = with_live_bytes(network, settings, figures, report_inputs)
    certificates = [certification.certificates[index] for index in chosen]
    measured = list(zip(settings, figures, certificates, strict=True))
    kept = undominated(figures, always=_precisions_only(settings))
    ladder = Ladder(_points([measured[index] for index in kept]))
    torch.set_num_threads(SEARCH_THREADS)
    canaries = choose_canaries(engine, ladder.points, search_inputs)
    return Calibrated(network, ladder, record, canaries, chain, certification)


def fitted(network: TrainedNetwork, search_inputs: Floats) -> TrainedNetwork:
    """The network with its stand-ins and exit heads."""
    return with_exit_heads(with_stand_ins(network, search_inputs), Setting(), search_inputs)


def _chain(
    network: TrainedNetwork,
    inputs: Floats,
    plan: Plan,
    checkpoint: Checkpoint | None,
    progress: Progress,
) -> tuple[Step, ...]:
    """The chain that S says is best among those of all courses."""

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
    return chains[chosen]


def _certify(
    engine: EagerEngine,
    chain: Sequence[Step],
    split: Split,
    scale: float,
    plan: Plan,
    progress: Progress,
    earlier: Checkpoint | None,
) -> Certification:
    """Certificates of the chain on part C; its first setting is the full model, which loses nothing."""
    progress(f"certifying {len(chain)} points on {len(split.certify)} inputs")
    masks = failure_masks(engine, [step.setting for step in chain], split.certify, scale, plan.aim.risk, earlier)
    n, kind = len(split.certify), plan.aim.risk.kind
    found = certify([int(count) for count in masks[1:].sum(1)], n, plan.alphas, plan.delta, kind)
    for alpha, needed in found.not_certifiable:
        progress(f"alpha {alpha:.1%} is not certifiable with {n} samples, it needs {needed}")
    full = Certificate(kind, 0.0, plan.delta, n, 0)
    return Certification((full, *found.certificates), found.not_certifiable)


def _rungs(chain: Sequence[Step], certification: Certification, aim: Aim) -> tuple[int, ...]:
    alphas = [None if found is None else found.alpha for found in certification.certificates]
    costs = [aim.cost(step.cost) for step in chain]
    # A chain is certified from the top: what is certified is its beginning, so that indices are the chain's.
    settings = [step.setting for step, alpha in zip(chain, alphas, strict=True) if alpha is not None]
    return pick_rungs(alphas, costs, _before_precision_moves(chain), always=_precisions_only(settings))


def _before_precision_moves(chain: Sequence[Step]) -> frozenset[int]:
    """Points that the search left by lowering one more group's precision: nobody stops halfway down that run."""
    return frozenset(index for index, after in enumerate(chain[1:]) if isinstance(after.move, PrecisionMove))


def _precisions_only(settings: Sequence[Setting]) -> frozenset[int]:
    """The last of the settings in which only precisions were turned: it answers with all of the model."""
    return frozenset([int(np.flatnonzero([setting.only_precisions for setting in settings])[-1])])


def _record(network: TrainedNetwork, split: Split, plan: Plan) -> Calibration:
    return Calibration(
        weights_sha256=hashlib.sha256(weights_file(network)).hexdigest(),
        graphs_sha256=graphs_sha256(network),
        data=split.name,
        parts={name: part.sha256 for name, part in split.parts.items()},
        failure=plan.aim.risk.text,
        search=plan.search,
        alphas=plan.alphas,
        delta=plan.delta,
        seed=split.seed,
        torch=str(torch.__version__),
        measured_on=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, 1 thread",
    )


def _points(measured: Sequence[tuple[Setting, Figures, Certificate | None]]) -> tuple[OperatingPoint, ...]:
    points: list[OperatingPoint] = []
    for setting, figure, certificate in measured:
        point = OperatingPoint(
            name=name_point(setting, figure.skip_ratio, [point.name for point in points]),
            engine=NAME,
            figures=figure,
            certificate=certificate,
            thresholds=setting.thresholds,
            skip=setting.skip,
            precision=setting.precision,
            layer_precision=setting.layer_precision,
            activations=setting.activations,
            resolution=setting.resolution,
            threads=setting.threads,
            stand_ins=setting.stand_ins,
            exits=setting.exits,
            activity=setting.activity,
        )
        points.append(point)
    return tuple(points)
