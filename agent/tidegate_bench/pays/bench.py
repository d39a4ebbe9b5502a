"""`tidegate bench pays`: the cheapest certified point against the fastest fixed engine, network by network.

Two ratios for each: against the fastest of the fixed peers in 8 bits, for which the goals are, and against
the fastest of any precision: where fp32 is faster than int8, a fixed model gains that too.

The networks, their data and their training are fixed before any search sees them. Parts of tidegate were chosen
on some of them: goals are counted apart for those, and for those that are held back. Inputs that the result is
measured on were in none of training, search or certification.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tidegate.calibration.data.batches import answer_all
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.evidence import Floats, scaled
from tidegate.models.exact_test import binomial_cdf
from tidegate.models.importing.discovery import discover
from tidegate.models.ladder import OperatingPoint
from tidegate.paths import cache_directory
from tidegate_bench.engine.fixed_peers import FIXED, INT8, Entrant, Extent, Measured, keep_network, measure
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.pays.datasets import SCALE, LabelledInputs, Labels, load
from tidegate_bench.pays.ladders import built_ladder
from tidegate_bench.pays.networks import NETWORKS
from tidegate_bench.pays.point import BUNDLE
from tidegate_bench.pays.recipe import Seen
from tidegate_bench.pays.training import trained
from tidegate_bench.progress import Progress

ALPHA = 0.015
SATURATED, AT_10_HZ, EVERYWHERE = 2.0, 1.5, 1.1
"""Against the fixed peers in int8."""
PAYS = 1.0
"""Against all of them: whoever is below does better with a fixed model."""
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
class Fastest:
    """Which of some fixed peers takes least CPU time per input, and how much; None: none was measured.

    At ten inputs a second it may be another that takes least.
    """

    peer: str | None
    cpu_ms: float | None
    peer_at_10_hz: str | None
    cpu_ms_at_10_hz: float | None


@dataclass(frozen=True, slots=True)
class Ratios:
    """CPU time of a fastest fixed peer over ours, without a pause and at ten inputs a second."""

    saturated: float | None
    at_10_hz: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One network: what the fastest fixed peers take by what our point takes, and how many certificates broke."""

    seen: Seen
    row: dict[str, Cell]
    over_int8: Ratios
    over_any: Ratios
    broken: int


def run(*, quick: bool, progress: Progress, networks: Sequence[str] | None = None) -> Figures:
    """Train and build where that was not done before, then race. Sets torch's seed and thread count.

    Of `networks` alone, where any are named.
    """
    scope = QUICK if quick else WHOLE
    outcomes = [_outcome(name, scope, progress) for name in networks or scope.networks]
    return Figures("pays", [outcome.row for outcome in outcomes], goals(outcomes))


def goals(outcomes: Sequence[Outcome]) -> list[Goal]:
    """For the networks of each kind of `seen`; a network that was not measured leaves no figure."""
    found: list[Goal] = []
    for seen in Seen:
        own = [outcome for outcome in outcomes if outcome.seen is seen]
        if own:
            int8, any_precision = [each.over_int8 for each in own], [each.over_any for each in own]
            found += _goals(f"{seen}: fastest fixed int8 peer", int8, SATURATED, AT_10_HZ, EVERYWHERE)
            found += _goals(f"{seen}: fastest fixed peer of any precision", any_precision, PAYS, PAYS, PAYS)
    return [*found, Goal("certificates broken", 0, sum(each.broken for each in outcomes), at_least=False)]


def _goals(of: str, ratios: Sequence[Ratios], mean: float, mean_at_10_hz: float, least: float) -> list[Goal]:
    saturated, paced = [each.saturated for each in ratios], [each.at_10_hz for each in ratios]
    return [
        Goal(f"{of} / ours, geometric mean", mean, _mean(saturated)),
        Goal(f"{of} / ours at 10 inputs a second, geometric mean", mean_at_10_hz, _mean(paced)),
        Goal(f"{of} / ours, the least of any network", least, _least(saturated)),
        Goal(f"{of} / ours at 10 inputs a second, the least of any network", least, _least(paced)),
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
        progress(f"{name}: {point.name} against {len(FIXED)} fixed peers")
        measured = measure(directory, 1, scope.race, progress, [ours])
    return _compared(name, bundle, point, measured, inputs, kept_apart)


def cheapest(points: Sequence[OperatingPoint]) -> OperatingPoint:
    """The last point of a ladder that is certified within ALPHA: no figure has a say in it."""
    return [p for p in points if p.certified_risk is not None and p.certified_risk <= ALPHA][-1]


def is_contradicted(failures: int, n: int, alpha: float) -> bool:
    """Whether so many failures among n inputs kept apart show that the risk is above alpha.

    A share just above alpha does not: it has an error of its own. The exact binomial tail decides.
    """
    return failures > 0 and 1 - binomial_cdf(failures - 1, n, alpha) < CONTRADICTION


def fastest(measured: Mapping[str, Measured], names: Sequence[str]) -> Fastest:
    """Of the peers of these names, those that have a figure."""
    peer, cpu_ms = _least_of({name: measured[name].cpu_ms for name in names if name in measured})
    paced, paced_ms = _least_of({name: measured[name].cpu_ms_at_10_hz for name in names if name in measured})
    return Fastest(peer, cpu_ms, paced, paced_ms)


def _least_of(figures: Mapping[str, float | None]) -> tuple[str | None, float | None]:
    known = {name: figure for name, figure in figures.items() if figure is not None}
    return min(known.items(), key=lambda item: item[1]) if known else (None, None)


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
    ours = measured[OURS]
    int8, best = fastest(measured, INT8), fastest(measured, FIXED)
    over_int8, over_any = _ratios(int8, ours), _ratios(best, ours)
    row: dict[str, Cell] = {
        "network": name,
        "kind": NETWORKS[name].kind,
        "seen": NETWORKS[name].seen,
        "accuracy": float(right.mean()),
        "fastest_int8": int8.peer,
        "int8_cpu_ms": int8.cpu_ms,
        "fastest_int8_at_10_hz": int8.peer_at_10_hz,
        "int8_cpu_ms_at_10_hz": int8.cpu_ms_at_10_hz,
        "fastest_fixed": best.peer,
        "fixed_cpu_ms": best.cpu_ms,
        "fastest_fixed_at_10_hz": best.peer_at_10_hz,
        "fixed_cpu_ms_at_10_hz": best.cpu_ms_at_10_hz,
        "point": f"{_engine(bundle, point)}:{point.name}",
        "certified": point.certified_risk,
        "newly_wrong": failures[point.name] / len(inputs),
        "cpu_ms": ours.cpu_ms,
        "cpu_ms_at_10_hz": ours.cpu_ms_at_10_hz,
        "int8_over_ours": over_int8.saturated,
        "int8_over_ours_at_10_hz": over_int8.at_10_hz,
        "fixed_over_ours": over_any.saturated,
        "fixed_over_ours_at_10_hz": over_any.at_10_hz,
        "points": len(bundle.ladder.points),
        "certificates_broken": ", ".join(broken) or "none",
        "apart": len(inputs),
        "peers_not_measured": ", ".join(
            peer for peer in FIXED if peer in measured and measured[peer].cpu_ms is None
        )
        or "none",
    }
    return Outcome(NETWORKS[name].seen, row, over_int8, over_any, len(broken))


def _ratios(theirs: Fastest, ours: Measured) -> Ratios:
    return Ratios(_ratio(theirs.cpu_ms, ours.cpu_ms), _ratio(theirs.cpu_ms_at_10_hz, ours.cpu_ms_at_10_hz))


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
