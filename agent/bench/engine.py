"""`tidegate bench engine`: our engines and their peers on the same networks, interleaved in one run."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from agent.bench import engine_ladder, engine_worker
from agent.bench.engine_artefacts import keep_onnx_models
from agent.bench.engine_networks import SUBJECTS, keep_network
from agent.bench.engine_peers import PEERS
from agent.bench.figures import Cell, Figures, Goal
from agent.bench.ladder_bundle import NETWORK

Progress = Callable[[str], None]

WORKERS_OF = "resnet18"
ALL_NETWORKS = (*SUBJECTS, NETWORK)
QUICK_NETWORKS = ("resnet18",)
QUICK_PEERS = ("eager", "ort fp32", "ort int8", "packed fp32", "packed int8", "onnx fp32", "onnx int8")
ROUNDS = 10
QUICK_ROUNDS = 4
RUNS_PER_TURN = 3

KEEPERS = frozenset({"packed int8", "onnx int8"})
_NEEDS = {"ort": "onnxruntime", "onnx": "onnxruntime", "openvino": "openvino"}


@dataclass(slots=True)
class Contestant:
    """A peer's process and what it has measured."""

    peer: str
    process: "subprocess.Popen[str]"
    latencies_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    rss_bytes: int = 0

    def turn(self, runs: int) -> None:
        """Let it run while all others wait."""
        said = self._ask(f"{runs}\n")
        # The first run of a turn finds the caches full of the others' weights.
        self.latencies_ms += said["latencies_ms"][1:]
        self.cpu_ms.append(said["cpu_ms"])
        self.rss_bytes = said["rss_bytes"]

    def _ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None  # noqa: S101 - both are pipes
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write(line)
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise PeerEnded(f"{self.peer} ended with code {self.process.wait()}")
        said: dict[str, Any] = json.loads(answer)
        return said


class PeerEnded(Exception):  # noqa: N818 - reads as what it is at the call site
    """A contestant's process ended in the middle; the message names it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of one peer on one network."""

    latency_ms: float
    cpu_ms: float
    rss_mib: float


Table = dict[tuple[str, int, str], Measured]
"""By network, threads and peer."""


def run(progress: Progress, *, quick: bool, networks: Sequence[str] | None = None) -> Figures:
    """Every peer that is installed, on every network, at 1 and 2 threads."""
    chosen = tuple(networks or (QUICK_NETWORKS if quick else ALL_NETWORKS))
    names = tuple(name for name in chosen if name in SUBJECTS)
    peers = [peer for peer in (QUICK_PEERS if quick else PEERS) if _installed(peer)]
    table: Table = {}
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        for name in names:
            progress(f"{name}: exporting")
            directory = Path(kept) / name
            keep_network(name, directory)
            keep_onnx_models(directory, with_int8=find_spec("onnx") is not None)
            for threads in (1,) if quick else (1, 2):
                table |= _compete(name, directory, threads, peers, QUICK_ROUNDS if quick else ROUNDS, progress)
        held: tuple[engine_worker.Held, ...] = ()
        if WORKERS_OF in names:
            progress(f"{WORKERS_OF}: worker processes")
            held = engine_worker.measure_workers(Path(kept) / WORKERS_OF)
    rows = [*_rows(table), *engine_worker.rows(held)]
    goals = [*_goals(table), *engine_worker.goals(held)]
    if NETWORK in chosen:
        raced, race_goals = engine_ladder.run(progress, quick=quick)
        rows, goals = [*rows, *raced], [*goals, *race_goals]
    return Figures("engine", rows, goals)


def _installed(peer: str) -> bool:
    needs = _NEEDS.get(peer.split(maxsplit=1)[0], "torch")
    return find_spec(needs) is not None and (not peer.startswith("ort int8") or find_spec("onnx") is not None)


def _compete(
    name: str, directory: Path, threads: int, peers: Sequence[str], rounds: int, progress: Progress
) -> Table:
    with ExitStack() as closing:
        contestants = []
        for peer in peers:
            progress(f"{name}, {threads} threads: opening {peer}")
            try:
                if peer in KEEPERS:
                    # What it keeps for the next start is made here; the next start is what a device mostly sees.
                    with _contestant(peer, directory, threads):
                        pass
                contestants.append(closing.enter_context(_contestant(peer, directory, threads)))
            except PeerEnded as error:
                progress(f"{name}, {threads} threads: {error}; its row is missing")
        for turn in range(rounds):
            # Starting with another one each time: nobody always follows the same neighbour.
            for contestant in contestants[turn % len(contestants) :] + contestants[: turn % len(contestants)]:
                contestant.turn(RUNS_PER_TURN)
    return {
        (name, threads, each.peer): Measured(
            median(each.latencies_ms), median(each.cpu_ms), each.rss_bytes / 2**20
        )
        for each in contestants
    }


@contextmanager
def _contestant(peer: str, directory: Path, threads: int) -> Iterator[Contestant]:
    command = [sys.executable, "-m", "agent.bench.engine_peers", peer, str(directory), str(threads)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None  # noqa: S101 - a pipe
        if not process.stdout.readline():
            raise PeerEnded(f"{peer} ended with code {process.wait()} before its first answer")
        yield Contestant(peer, process)
    finally:
        process.kill()
        process.communicate()


def _rows(table: Table) -> Iterator[dict[str, Cell]]:
    for (network, threads, peer), measured in table.items():
        eager = table.get((network, threads, "eager"))
        yield {
            "network": network,
            "threads": threads,
            "engine": peer,
            "latency_ms": round(measured.latency_ms, 3),
            "times_eager": None if eager is None else round(eager.latency_ms / measured.latency_ms, 2),
            "cpu_ms": round(measured.cpu_ms, 2),
            "rss_mib": round(measured.rss_mib, 1),
        }


def _goals(table: Table) -> Iterator[Goal]:
    runs = dict.fromkeys((network, threads) for network, threads, _ in table)
    for network, threads in runs:

        def ratio(over: str, under: str, where: tuple[str, int] = (network, threads)) -> float | None:
            above, below = table.get((*where, over)), table.get((*where, under))
            return None if above is None or below is None else above.latency_ms / below.latency_ms

        def best(*names: str, where: tuple[str, int] = (network, threads)) -> float | None:
            found = [table[(*where, name)].latency_ms for name in names if (*where, name) in table]
            return min(found) if found else None

        label = f"{network}, {threads} threads:"
        if network != "mobilenet_v2":
            yield Goal(f"{label} packed fp32 over eager", 1.6, ratio("eager", "packed fp32"))
            yield Goal(
                f"{label} packed fp32's latency / ORT fp32's", 1.15, ratio("packed fp32", "ort fp32"), False
            )
        yield Goal(f"{label} onnx fp32's latency / ORT fp32's", 1.05, ratio("onnx fp32", "ort fp32"), False)
        ours, theirs = best("packed int8", "onnx int8"), best("ort int8")
        if theirs is not None:
            share = None if ours is None else ours / theirs
            yield Goal(f"{label} our best int8's latency / ORT int8's", 1.05, share, False)
        target = {"resnet18": 4.4, "vgg16": 5.5}.get(network)
        if target is not None:
            yield Goal(f"{label} packed int8 over eager", target, ratio("eager", "packed int8"))
        for engine, allowed in (("packed", 1.04), ("onnx", 1.05)):
            if (network, threads, f"{engine} fp32 gated") in table:
                overhead = ratio(f"{engine} fp32 gated", f"{engine} fp32")
                yield Goal(f"{label} {engine} fp32 with all gates open / without gates", allowed, overhead, False)
