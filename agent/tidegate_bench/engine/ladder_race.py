"""Adapting against every fixed peer: a trained net's cheapest certified point, and the same net in int8 elsewhere.

All contestants answer the images of the report part V, which nothing else has seen, one by one, taking turns.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.data.digits.data import SCALE
from tidegate.engines.engine import REFERENCE
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.evidence import scaled
from tidegate.models.importing.discovery import discover
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.paths import cache_directory
from tidegate_bench.engine.conversion import convert_all
from tidegate_bench.engine.ladder_bundle import ALPHA, NETWORK, ladder_bundle
from tidegate_bench.engine.ladder_peer import BUNDLE
from tidegate_bench.engine.ladder_subject import Recipe, large_split, trained
from tidegate_bench.engine.networks import keep_network
from tidegate_bench.engine.peers import PEERS
from tidegate_bench.figures import Cell, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerProcess, turns

FASTER, LESS_CPU = 1.5, 1.5
RATE_HZ = 10.0
SPINS = "onnx"
"""The engine whose threads may wait awake or asleep."""
RIVALS = ("ort int8", "ort int8 unspun", "openvino int8")
ENTERED = ("ort fp32", "openvino fp32", *RIVALS)

ANSWER_WITHIN_S = 600.0
"""Opening quantizes; the longest request answers all images of V."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is run per thread count: each image `repeats` times, `per_turn` in a row; and `paced` images at
    10 Hz in each of `paced_turns`.
    """

    recipe: Recipe = field(default_factory=Recipe)
    threads: tuple[int, ...] = (1, 2)
    repeats: int = 5
    per_turn: int = 33
    paced: int = 20
    paced_turns: int = 7
    lookahead: int = 6


QUICK = Extent(
    Recipe(width=16, blocks_per_stage=2, epochs=4), (1,), repeats=2, paced=10, paced_turns=1, lookahead=3
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One contestant over V: latency of its images, CPU time at 10 Hz, and which answers are newly wrong."""

    contestant: str
    threads: int
    median_ms: float
    mean_ms: float
    cpu_ms: float
    newly_wrong: float
    certified: float | None


@dataclass(slots=True)
class _Contestant:
    """A process, with what it has measured: latencies by image."""

    process: PeerProcess
    latencies_ms: dict[int, list[float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A peer, or ENGINE:POINT of ours."""
        return self.process.name

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Its answer to one request. Raises PeerEnded."""
        return self.process.ask(request, ANSWER_WITHIN_S)

    def turn(self, images: int) -> None:
        """Let it run while all others wait."""
        for image, latency_ms in self.ask({"run": images})["latencies_ms"]:
            self.latencies_ms.setdefault(image, []).append(latency_ms)


def run(progress: Progress, *, quick: bool) -> tuple[list[dict[str, Cell]], list[Goal]]:
    """Train (once, then from the cache), calibrate, race. Sets torch's seed and thread count for this process."""
    extent = QUICK if quick else Extent()
    net = trained(extent.recipe, cache_directory(), progress)
    split = large_split(extent.recipe)
    network = discover(net, torch.zeros(2, *split.report.inputs.shape[1:])).network
    bundle = ladder_bundle(network, split, extent.recipe, extent.lookahead, progress)
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        directory = Path(kept)
        (directory / BUNDLE).symlink_to(bundle)
        keep_network(
            network,
            directory,
            calibration=scaled(split.search.inputs, SCALE),
            inputs=scaled(split.report.inputs, SCALE),
        )
        peers = [PEERS[name] for name in ENTERED if not PEERS[name].missing]
        failed = convert_all(directory, peers, progress)
        names = [peer.name for peer in peers if peer.name not in failed]
        ladder = open_bundle(bundle).ladder
        for threads in extent.threads:
            measured += _race(ladder, names, directory, threads, extent, split.report.known_labels, progress)
    return [_row(each) for each in measured], list(goals(measured))


def _race(
    ladder: Ladder,
    peers: Sequence[str],
    directory: Path,
    threads: int,
    extent: Extent,
    labels: npt.NDArray[np.int64],
    progress: Progress,
) -> list[Measured]:
    points = entered(ladder, spinning=threads > 1)
    names = [*peers, *points]
    with ExitStack() as closing:
        contestants = []
        for name in names:
            progress(f"{NETWORK}, {threads} threads: opening {name}")
            contestants.append(closing.enter_context(_contestant(name, directory, threads)))
        answers = {each.name: np.array(each.ask({"answer": "all"})["answers"]) for each in contestants}
        for contestant in turns(contestants, -(-len(labels) * extent.repeats // extent.per_turn)):
            contestant.turn(extent.per_turn)
        cpu_ms: dict[str, list[float]] = {name: [] for name in names}
        progress(
            f"{NETWORK}, {threads} threads: {extent.paced_turns} times {extent.paced} images at {RATE_HZ:g} Hz"
        )
        for contestant in turns(contestants, extent.paced_turns):
            paced = contestant.ask({"paced": extent.paced, "hz": RATE_HZ})
            cpu_ms[contestant.name].append(paced["cpu_ms"])
    right = answers[next(name for name, point in points.items() if point is ladder.full)] == labels
    measured = []
    for each in contestants:
        by_image = [float(np.median(times)) for times in each.latencies_ms.values()]
        point = points.get(each.name)
        measured.append(
            Measured(
                contestant=each.name,
                threads=threads,
                median_ms=float(np.median(by_image)),
                mean_ms=float(np.mean(by_image)),
                cpu_ms=float(np.median(cpu_ms[each.name])),
                newly_wrong=float((right & (answers[each.name] != labels)).mean()),
                certified=None if point is None else point.certified_risk,
            )
        )
    return measured


def entered(ladder: Ladder, *, spinning: bool = False) -> dict[str, OperatingPoint]:
    """Of each engine the full point, the first and the cheapest of its own that are certified within ALPHA.

    The cheapest is the last on the ladder: no figure of V has a say in it. With `spinning` the onnx engine's own
    run once more with threads that wait awake.
    """
    chosen: dict[str, OperatingPoint] = {}
    engines = dict.fromkeys(point.engine for point in ladder.points if point.engine != REFERENCE)
    for engine in engines:
        own = [
            point
            for point in ladder.points
            if point.engine == engine and point.certified_risk is not None and point.certified_risk <= ALPHA
        ]
        for point in (ladder.full, *own[:1], *own[-1:]):
            chosen[f"{engine}:{point.name}"] = point
        if spinning and engine == SPINS:
            chosen |= {f"{engine} spun:{point.name}": point for point in (*own[:1], *own[-1:])}
    return chosen


@contextmanager
def _contestant(name: str, directory: Path, threads: int) -> Iterator[_Contestant]:
    process = PeerProcess(name, "tidegate_bench.engine.ladder_peer", (name, str(directory), str(threads)))
    try:
        process.wait_ready(ANSWER_WITHIN_S)
        yield _Contestant(process)
    finally:
        process.close()


def _row(measured: Measured) -> dict[str, Cell]:
    return {
        "network": NETWORK,
        "threads": measured.threads,
        "engine": measured.contestant,
        "latency_ms": round(measured.median_ms, 3),
        "latency_mean_ms": round(measured.mean_ms, 3),
        "cpu_ms_at_10_hz": round(measured.cpu_ms, 3),
        "newly_wrong": round(measured.newly_wrong, 4),
        "certified_loss": measured.certified,
    }


def goals(measured: Sequence[Measured]) -> Iterator[Goal]:
    """By means over V: a gated point takes another time for each image, and a median would hide the long ones."""
    for threads in dict.fromkeys(each.threads for each in measured):
        here = [each for each in measured if each.threads == threads]
        rivals = [each for each in here if each.contestant in RIVALS]
        adapting = [each for each in here if each.certified]
        label = f"{NETWORK}, {threads} threads:"
        mean_ms = _ratio([each.mean_ms for each in rivals], [each.mean_ms for each in adapting])
        cpu_ms = _ratio([each.cpu_ms for each in rivals], [each.cpu_ms for each in adapting])
        yield Goal(f"{label} fastest int8 peer's mean latency / our cheapest certified point's", FASTER, mean_ms)
        yield Goal(f"{label} least CPU time at 10 Hz of an int8 peer / of our certified points", LESS_CPU, cpu_ms)


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> float | None:
    return min(theirs) / min(ours) if theirs and ours else None
