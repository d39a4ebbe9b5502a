"""`tidegate bench engine`: our engines and their peers on the same networks, interleaved in one run."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tidegate_bench import engine_goals, engine_inside, engine_ladder, engine_worker
from tidegate_bench.engine_artefacts import keep_onnx_models
from tidegate_bench.engine_contest import Extent, Measured, compete
from tidegate_bench.engine_networks import SUBJECTS, keep_network
from tidegate_bench.engine_peers import PEERS
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.ladder_bundle import NETWORK

Progress = Callable[[str], None]

WORKERS_OF = "resnet18"
ALL_NETWORKS = (*SUBJECTS, NETWORK)
QUICK_NETWORKS = ("resnet18",)
QUICK_PEERS = ("eager", "ort fp32", "ort int8", "onnx fp32", "onnx int8")

FULL = Extent(turns=7, turn_s=0.3)
QUICK = Extent(turns=3, turn_s=0.1)

ALONE = frozenset({"onnx fp32 gated", "onnx int8 gated"})
"""With 1 thread only: what a gate costs is told best by what repeats best."""
TOGETHER = frozenset({"ort fp32 unspun", "ort int8 unspun", "onnx fp32 spun", "onnx int8 spun"})
"""With 2 threads only: one alone never spins."""

_NEEDS = {"ort": "onnxruntime", "onnx": "onnxruntime", "openvino": "openvino"}


def run(progress: Progress, *, quick: bool, networks: Sequence[str] | None = None) -> Figures:
    """Every peer that is installed, on every network, at 1 and 2 threads."""
    chosen = tuple(networks or (QUICK_NETWORKS if quick else ALL_NETWORKS))
    peers = [peer for peer in (QUICK_PEERS if quick else PEERS) if _installed(peer)]
    table: dict[tuple[str, int, str], Measured] = {}
    rows: list[dict[str, Cell]] = []
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        for name in (name for name in chosen if name in SUBJECTS):
            progress(f"{name}: exporting")
            directory = Path(kept) / name
            keep_network(name, directory)
            keep_onnx_models(directory, with_int8=find_spec("onnx") is not None)
            for threads in (1,) if quick else (1, 2):
                entered = [peer for peer in peers if peer not in (TOGETHER if threads == 1 else ALONE)]
                found = compete(directory, threads, entered, QUICK if quick else FULL, progress)
                table |= {(name, threads, peer): measured for peer, measured in found.items()}
            inside = engine_inside.measure(directory, progress, quick=quick)
            rows += engine_inside.rows(name, inside)
            goals += engine_inside.goals(name, inside)
            if name == WORKERS_OF:
                progress(f"{name}: worker processes")
                held = engine_worker.measure_workers(directory, progress, quick=quick)
                rows += engine_worker.rows(held)
                goals += engine_worker.goals(held)
            # VGG-16's files take 2 GB.
            shutil.rmtree(directory)
    rows = [*engine_goals.rows(table), *rows]
    goals = [*engine_goals.goals(table), *goals]
    if NETWORK in chosen:
        try:
            raced, race_goals = engine_ladder.run(progress, quick=quick)
        except engine_ladder.ContestantEnded as error:
            progress(f"{NETWORK}: {error}; its rows are lost")
        else:
            rows, goals = [*rows, *raced], [*goals, *race_goals]
    return Figures("engine", rows, goals)


def _installed(peer: str) -> bool:
    if peer == "torch.compile" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return False
    needs = _NEEDS.get(peer.split(maxsplit=1)[0], "torch")
    return find_spec(needs) is not None and (not peer.startswith("ort int8") or find_spec("onnx") is not None)
