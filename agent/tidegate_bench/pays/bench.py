"""`tidegate bench pays`: the cheapest certified point against the fastest fixed engine, network by network.

The networks, their data and their training are fixed before any search sees them, and nothing in the search was
tuned to them. Inputs that the result is measured on were in none of training, search or certification.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tidegate.calibration.certify.certification import binomial_cdf
from tidegate.calibration.data.batches import answer_all
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.evidence import Floats, scaled
from tidegate.models.importing.discovery import discover
from tidegate.models.ladder import OperatingPoint
from tidegate.paths import cache_directory
from tidegate_bench.engine.fixed_peers import INT8, Entrant, Extent, Measured, keep_network, measure
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.pays.datasets import SCALE, LabelledInputs, Labels, load
from tidegate_bench.pays.ladders import built_ladder
from tidegate_bench.pays.networks import NETWORKS, trained
from tidegate_bench.pays.point import BUNDLE
from tidegate_bench.progress import Progress

ALPHA = 0.015
SATURATED, AT_10_HZ, EVERYWHERE = 2.0, 1.5, 1.1
OURS = "cheapest certified"

CONTRADICTION = 0.01
"""Chance that a certificate which holds at its very alpha passes for a broken one."""

CALIBRATION_INPUTS = 300
"""Of part S, that fixed peers are quantized with."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which networks; of each data set how many inputs a user has, and how many are kept apart; and the race."""

    networks: tuple[str, ...]
    labelled: int
    apart: int
    race: Extent


WHOLE = Scope(tuple(NETWORKS), 8000, 10_000, Extent(7, 0.3, paced_turns=5, paced=10))
QUICK = Scope(("plain, mnist",), 2000, 1000, Extent(3, 0.2, paced_turns=1, paced=10))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One network: what the fastest fixed int8 peer takes, what our point takes, and how often it fails."""

    row: dict[str, Cell]
    saturated: float | None
    at_10_hz: float | None
    broken: int


def run(*, quick: bool, progress: Progress, networks: Sequence[str] | None = None) -> Figures:
    """Train and build where that was not done before, then race. Sets torch's seed and thread count.

    Of `networks` alone, where any are named.
    """
    scope = QUICK if quick else WHOLE
    outcomes = [_outcome(name, scope, progress) for name in networks or scope.networks]
    return Figures("pays", [outcome.row for outcome in outcomes], goals(outcomes))


def goals(outcomes: Sequence[Outcome]) -> list[Goal]:
    """Over all networks; a network that was not measured leaves no figure."""
    saturated = [outcome.saturated for outcome in outcomes]
    paced = [outcome.at_10_hz for outcome in outcomes]
    return [
        Goal("fastest fixed int8 peer / cheapest certified point, geometric mean", SATURATED, _mean(saturated)),
        Goal("the same at 10 inputs a second", AT_10_HZ, _mean(paced)),
        Goal("the least of any network", EVERYWHERE, _least(saturated)),
        Goal("the least of any network at 10 inputs a second", EVERYWHERE, _least(paced)),
        Goal("certificates broken", 0, sum(outcome.broken for outcome in outcomes), at_least=False),
    ]


def _outcome(name: str, scope: Scope, progress: Progress) -> Outcome:
    recipe = NETWORKS[name]
    folder = cache_directory() / "pays"
    data = load(recipe.data, folder)
    net = trained(name, data, folder, lambda text: progress(f"{name}: {text}"))
    untouched = data.part(recipe.trained_on, len(data.inputs))
    # A third is kept apart where there is not enough for both.
    apart = min(scope.apart, len(untouched.inputs) // 3)
    labelled = untouched.part(apart, min(apart + scope.labelled, len(untouched.inputs)))
    kept_apart = untouched.part(0, apart)
    network = discover(net, torch.zeros(2, *data.inputs.shape[1:])).network
    ladder = built_ladder(name, network, labelled, folder, progress)
    inputs = scaled(kept_apart.inputs, SCALE)
    bundle = open_bundle(ladder.bundle)
    point = cheapest(bundle.ladder.points)
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        directory = Path(kept)
        (directory / BUNDLE).symlink_to(ladder.bundle)
        calibration = scaled(ladder.split.search.inputs[:CALIBRATION_INPUTS], SCALE)
        keep_network(network, directory, calibration=calibration, inputs=inputs)
        ours = Entrant(OURS, "tidegate_bench.pays.point", (point.name, _engine(bundle, point), kept))
        progress(f"{name}: {point.name} against {len(INT8)} fixed peers")
        measured = measure(directory, 1, scope.race, progress, [ours], INT8)
    return _compared(name, bundle, point, measured, inputs, kept_apart)


def cheapest(points: Sequence[OperatingPoint]) -> OperatingPoint:
    """The last point of a ladder that is certified within ALPHA: no figure has a say in it."""
    return [p for p in points if p.certified_risk is not None and p.certified_risk <= ALPHA][-1]


def is_contradicted(failures: int, n: int, alpha: float) -> bool:
    """Whether so many failures among n inputs kept apart show that the risk is above alpha.

    A share just above alpha does not: it has an error of its own. The exact binomial tail decides.
    """
    return failures > 0 and 1 - binomial_cdf(failures - 1, n, alpha) < CONTRADICTION


def _compared(
    name: str,
    bundle: Bundle,
    point: OperatingPoint,
    measured: dict[str, Measured],
    inputs: Floats,
    apart: LabelledInputs,
) -> Outcome:
    right = _answers(bundle, bundle.ladder.full, inputs) == apart.labels
    failures = {
        each.name: int((right & (_answers(bundle, each, inputs) != apart.labels)).sum())
        for each in bundle.ladder.points
        if each.certificate is not None
    }
    broken = [
        each.name
        for each in bundle.ladder.points
        if each.certified_risk and is_contradicted(failures[each.name], len(inputs), each.certified_risk)
    ]
    rivals = {peer: measured[peer] for peer in INT8 if peer in measured and measured[peer].cpu_ms is not None}
    ours = measured[OURS]
    fastest = min(rivals, key=lambda peer: rivals[peer].cpu_ms or np.inf, default=None)
    thriftiest = min(rivals, key=lambda peer: rivals[peer].cpu_ms_at_10_hz or np.inf, default=None)
    best_ms = None if fastest is None else rivals[fastest].cpu_ms
    best_paced_ms = None if thriftiest is None else rivals[thriftiest].cpu_ms_at_10_hz
    saturated, paced = _ratio(best_ms, ours.cpu_ms), _ratio(best_paced_ms, ours.cpu_ms_at_10_hz)
    row: dict[str, Cell] = {
        "network": name,
        "kind": NETWORKS[name].kind,
        "accuracy": float(right.mean()),
        "fastest_fixed": fastest,
        "fixed_cpu_ms": best_ms,
        "fixed_cpu_ms_at_10_hz": best_paced_ms,
        "point": f"{_engine(bundle, point)}:{point.name}",
        "certified": point.certified_risk,
        "newly_wrong": failures[point.name] / len(inputs),
        "cpu_ms": ours.cpu_ms,
        "cpu_ms_at_10_hz": ours.cpu_ms_at_10_hz,
        "times_faster": saturated,
        "times_faster_at_10_hz": paced,
        "points": len(bundle.ladder.points),
        "certificates_broken": ", ".join(broken) or "none",
        "apart": len(inputs),
        "peers_not_measured": ", ".join(peer for peer in INT8 if peer in measured and peer not in rivals)
        or "none",
    }
    return Outcome(row, saturated, paced, len(broken))


def _engine(bundle: Bundle, point: OperatingPoint) -> str:
    """The point's own engine, or for one in fp32 whichever the ladder was made for."""
    return point.engine if point.engine in bundle.calibration.engines else next(iter(bundle.calibration.engines))


def _answers(bundle: Bundle, point: OperatingPoint, inputs: Floats) -> Labels:
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        variant = open_engine(_engine(bundle, point), bundle, Path(kept)).prepare(point)
        return np.asarray(answer_all(variant, inputs).outputs.argmax(1), np.int64)


def _ratio(theirs: float | None, ours: float | None) -> float | None:
    return None if theirs is None or ours is None else theirs / ours


def _mean(ratios: Sequence[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return None if len(known) < len(ratios) or not known else float(np.exp(np.log(known).mean()))


def _least(ratios: Sequence[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return None if len(known) < len(ratios) or not known else min(known)
