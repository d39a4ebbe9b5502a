"""From a trained network and a split of data to a certified ladder: search on S, certify on C, report on V."""

import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from agent.calibration.assembly import name_point, pick_rungs, undominated
from agent.calibration.canaries import choose_canaries
from agent.calibration.certification import Certification, certify
from agent.calibration.cost import CostModel
from agent.calibration.measurement import measure_figures, newly_wrong
from agent.calibration.search import Search, Step
from agent.calibration.setting import Group, Setting
from agent.calibration.split import Part, Split
from agent.engines.eager import NAME, EagerEngine
from agent.engines.engine import Array
from agent.models.bundle_writer import weights_file
from agent.models.evidence import Canaries, scaled
from agent.models.ladder import Certificate, Figures, Ladder, OperatingPoint, Precision, Risk
from agent.models.ladder_file import Calibration
from agent.models.network import TrainedNetwork

ALPHAS = (0.01, 0.015, 0.03, 0.05, 0.1)
"""Fixed before any data was seen. 0.5 % is left out: at a fifth of delta 5 % it needs 919 inputs to certify."""

DELTA = 0.05

SEARCH_THREADS = 2
"""Fixed for the same reason as in training: sums, and so thresholds, depend on it in the last bits."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibration found; `certification` covers the whole chain, the ladder a few of its points."""

    ladder: Ladder
    calibration: Calibration
    canaries: Canaries
    chain: tuple[Step, ...]
    certification: Certification


def calibrate(
    network: TrainedNetwork, groups: tuple[Group, ...], split: Split, scale: float, progress: Progress
) -> Calibrated:
    """A ladder for the eager engine. Sets torch's thread count for this process."""
    torch.set_num_threads(SEARCH_THREADS)
    engine = EagerEngine(network)
    search_inputs = scaled(split.search.inputs, scale)
    chain = Search(network, groups, search_inputs).chain(progress)
    certification = certify_chain(engine, [step.setting for step in chain], split.certify, scale)
    for alpha, needed in certification.not_certifiable:
        progress(f"alpha {alpha:.1%} is not certifiable with {len(split.certify)} samples, it needs {needed}")
    alphas = [None if found is None else found.alpha for found in certification.certificates]
    rungs = pick_rungs(alphas, [step.cost.total for step in chain], _before_precision_moves(chain))
    progress(f"{len(rungs)} of {len(chain)} points become rungs; measuring them")
    settings = [chain[index].setting for index in rungs]
    costs = CostModel(network, engine.build(settings[0]).weights_resident_bytes)
    figures = measure_figures(engine, costs, settings, scaled(split.report.inputs, scale), split.report.labels)
    certificates = [certification.certificates[index] for index in rungs]
    measured = list(zip(settings, figures, certificates, strict=True))
    ladder = Ladder(_points([measured[index] for index in undominated(figures)]))
    torch.set_num_threads(SEARCH_THREADS)
    canaries = choose_canaries(engine, ladder.points, search_inputs)
    record = Calibration(
        weights_sha256=hashlib.sha256(weights_file(network)).hexdigest(),
        data=split.name,
        parts={name: part.sha256 for name, part in split.parts.items()},
        alphas=ALPHAS,
        delta=DELTA,
        seed=split.seed,
        torch=str(torch.__version__),
        measured_on=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, 1 thread",
    )
    return Calibrated(ladder, record, canaries, chain, certification)


def certify_chain(engine: EagerEngine, settings: Sequence[Setting], part: Part, scale: float) -> Certification:
    """Certificates of a chain on part C; its first setting is the full model, which loses nothing."""
    inputs = scaled(part.inputs, scale)
    outputs: list[Array] = [engine.build(setting).forward(inputs).outputs for setting in settings]
    failures = [newly_wrong(outputs[0], values, part.labels) for values in outputs]
    found = certify(failures[1:], len(part), ALPHAS, DELTA)
    full = Certificate(Risk.NEWLY_WRONG, 0.0, DELTA, len(part), 0)
    return Certification((full, *found.certificates), found.not_certifiable)


def _before_precision_moves(chain: Sequence[Step]) -> frozenset[int]:
    """Points that the search left by lowering one more group's precision: nobody stops halfway down that run."""
    return frozenset(
        index
        for index, after in enumerate(chain[1:])
        if after.move is not None and isinstance(after.move.to, Precision)
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
            threads=1,
        )
        points.append(point)
    return tuple(points)
