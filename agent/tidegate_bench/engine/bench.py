"""`tidegate bench engine`: our engines and their peers on the same networks, interleaved in one run."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tidegate_bench.engine import alone, ladder_race, peer_goals, worker
from tidegate_bench.engine.conversion import convert_all
from tidegate_bench.engine.ladder_bundle import NETWORK
from tidegate_bench.engine.networks import SUBJECTS, keep_subject
from tidegate_bench.engine.peer_race import Extent, Measured, compete, entrant
from tidegate_bench.engine.peers import PEERS
from tidegate_bench.engine.runtimes.peer import Peer
from tidegate_bench.engine.store import open_network
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerEnded

WORKERS_OF = "resnet18"
ALL_NETWORKS = (*SUBJECTS, NETWORK)
QUICK_NETWORKS = ("resnet18",)
QUICK_PEERS = ("eager", "ort fp32", "ort int8", "onnx fp32", "onnx int8", "litert fp32", "litert int8")

FULL = Extent(turns=7, turn_s=0.3, paced_turns=3)
FULL_TOGETHER = Extent(turns=7, turn_s=0.3)
QUICK = Extent(turns=3, turn_s=0.1)

ALONE = frozenset({"onnx fp32 gated", "onnx int8 gated", "litert fp32 gated", "litert int8 gated"})
"""With 1 thread only: what a gate costs is told best by what repeats best."""
TOGETHER = frozenset({"ort fp32 unspun", "ort int8 unspun", "onnx fp32 spun", "onnx int8 spun"})
"""With 2 threads only: one alone never spins."""


def run(progress: Progress, *, quick: bool, networks: Sequence[str] | None = None) -> Figures:
    """Every peer that is installed, on every network, at 1 and 2 threads."""
    chosen = tuple(networks or (QUICK_NETWORKS if quick else ALL_NETWORKS))
    peers = [PEERS[name] for name in QUICK_PEERS] if quick else list(PEERS.values())
    table: dict[tuple[str, int, str], Measured] = {}
    rows: list[dict[str, Cell]] = []
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        for name in (name for name in chosen if name in SUBJECTS):
            progress(f"{name}: exporting")
            directory = Path(kept) / name
            keep_subject(name, directory)
            table |= _raced(directory, [peer for peer in peers if not peer.missing], progress, quick=quick)
            inside = alone.measure(directory, progress, quick=quick)
            rows += alone.rows(name, inside)
            goals += alone.goals(name, inside)
            if name == WORKERS_OF:
                progress(f"{name}: worker processes")
                held = worker.measure_workers(directory, progress, quick=quick)
                rows += worker.rows(held)
                goals += worker.goals(held)
            # VGG-16's files take 2 GB.
            shutil.rmtree(directory)
    rows = [*peer_goals.rows(table), *_packages(peers), *rows]
    goals = [*peer_goals.goals(table), *goals]
    if NETWORK in chosen:
        try:
            raced, race_goals = ladder_race.run(progress, quick=quick)
        except PeerEnded as error:
            progress(f"{NETWORK}: {error}; its rows are lost")
        else:
            rows, goals = [*rows, *raced], [*goals, *race_goals]
    return Figures("engine", rows, goals)


def _raced(
    directory: Path, installed: Sequence[Peer], progress: Progress, *, quick: bool
) -> dict[tuple[str, int, str], Measured]:
    """All peers that suit one network."""
    network = open_network(directory)
    peers = [peer for peer in installed if peer.suits(network)]
    failed = convert_all(directory, peers, progress)
    table: dict[tuple[str, int, str], Measured] = {}
    for threads in (1,) if quick else (1, 2):
        entered = [peer.name for peer in peers if peer.name not in (TOGETHER if threads == 1 else ALONE)]
        entrants = [entrant(name, directory, threads) for name in entered if name not in failed]
        extent = QUICK if quick else FULL if threads == 1 else FULL_TOGETHER
        found = compete(f"{directory.name}, {threads} threads", entrants, extent, progress)
        lost = {name: Measured(lost=failed[name]) for name in entered if name in failed}
        table |= {(directory.name, threads, name): each for name, each in (found | lost).items()}
    return table


def _packages(peers: Iterable[Peer]) -> Iterator[dict[str, Cell]]:
    """What was measured in which version, and what was not."""
    for peer in peers:
        missing = f"not measured: {', '.join(peer.missing)} not installed"
        yield {"engine": peer.name, "packages": missing if peer.missing else peer.versions}
