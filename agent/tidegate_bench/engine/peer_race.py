"""All peers on one network at one thread count: each in its own process, taking turns, bounded by time."""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from tidegate.engines.engine import Array
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerEnded, PeerProcess, turns

RATE_HZ = 10.0
KEEP_FILES = frozenset({"onnx int8", "onnx int8 gated", "onnx fp32 gated"})
"""They keep files for the next start, which is what a device mostly sees: theirs are made by a start before."""
OPEN_WITHIN_S = 120.0
"""torch.compile takes 15 to 40 s; whoever takes longer than this is out."""
TURN_WITHIN_S = 60.0
ANSWERS_WITHIN_S = 1800.0


@dataclass(frozen=True, slots=True)
class Extent:
    """How long it takes: turns per peer, and seconds of each (a slow peer takes its three runs).

    Then `paced_turns` of `paced` inputs each, ten a second. `answers`: whether all inputs are answered once.
    """

    turns: int
    turn_s: float
    paced_turns: int = 0
    paced: int = 10
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contestant by name, and the module and arguments that start it; its module calls `contestant.serve`."""

    name: str
    module: str
    arguments: tuple[str, ...]
    starts_twice: bool = False
    """Whether its first start makes files that a later one finds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of one peer on one network; None: not measured, with the reason in `lost` where its process ended.

    CPU time is that of the whole process per input, without a pause and at ten inputs a second.
    """

    latency_ms: float | None = None
    cpu_ms: float | None = None
    cpu_ms_at_10_hz: float | None = None
    rss_mib: float | None = None
    answers: Array | None = None
    """(inputs, *output shape)."""
    lost: str = ""


@dataclass(slots=True)
class _Contestant:
    process: PeerProcess
    latencies_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    paced_cpu_ms: list[float] = field(default_factory=list)
    rss_bytes: int = 0
    answers: Array | None = None
    lost: str = ""

    def turn(self, seconds: float) -> None:
        """Let it run while all others wait."""
        said = self.process.ask({"seconds": seconds}, TURN_WITHIN_S)
        self.latencies_ms += said["latencies_ms"]
        self.cpu_ms.append(said["cpu_ms"])
        self.rss_bytes = said["rss_bytes"]

    def paced_turn(self, count: int) -> None:
        """The same with inputs that come at a steady rate."""
        self.paced_cpu_ms.append(self.process.ask({"paced": count, "hz": RATE_HZ}, TURN_WITHIN_S)["cpu_ms"])

    def answer(self) -> None:
        """All inputs once."""
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
            path = Path(directory) / "answers.npy"
            self.process.ask({"answers": str(path)}, ANSWERS_WITHIN_S)
            self.answers = np.load(path)

    def measured(self) -> Measured:
        if self.lost or not self.latencies_ms:
            return Measured(lost=self.lost)
        paced = median(self.paced_cpu_ms) if self.paced_cpu_ms else None
        return Measured(
            median(self.latencies_ms), median(self.cpu_ms), paced, self.rss_bytes / 2**20, self.answers
        )


def entrant(peer: str, directory: Path, threads: int) -> Entrant:
    """A peer of the table, on a kept network."""
    arguments = (peer, str(directory), str(threads))
    return Entrant(peer, "tidegate_bench.engine.contestant", arguments, peer in KEEP_FILES)


def compete(where: str, entrants: Sequence[Entrant], extent: Extent, progress: Progress) -> dict[str, Measured]:
    """What each of them measured, by name. One whose process ends loses its own row and no other's."""

    def drop_out(contestant: _Contestant, error: PeerEnded) -> None:
        contestant.lost = str(error)
        contestant.process.close()
        progress(f"{where}: {error}; its row is lost")

    progress(f"{where}: opening {len(entrants)} peers")
    contestants: list[_Contestant] = []
    # Opening is not measured, so that it may use all cores; not more at once, for the memory that packing takes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in [pool.submit(_opened, entrant) for entrant in entrants]:
            contestant, error = future.result()
            contestants.append(contestant)
            if error is not None:
                drop_out(contestant, error)

    def take_turns(rounds: int, turn: Callable[[_Contestant], None]) -> None:
        for contestant in turns(contestants, rounds):
            if contestant.lost:
                continue
            try:
                turn(contestant)
            except PeerEnded as error:
                drop_out(contestant, error)

    try:
        if extent.answers:
            progress(f"{where}: answering all inputs")
            take_turns(1, _Contestant.answer)
        progress(f"{where}: {extent.turns} turns each")
        take_turns(extent.turns, lambda contestant: contestant.turn(extent.turn_s))
        if extent.paced_turns:
            progress(f"{where}: {extent.paced_turns} times {extent.paced} inputs at {RATE_HZ:g} Hz")
            take_turns(extent.paced_turns, lambda contestant: contestant.paced_turn(extent.paced))
    finally:
        for contestant in contestants:
            contestant.process.close()
    return {contestant.process.name: contestant.measured() for contestant in contestants}


def _opened(entrant: Entrant) -> tuple[_Contestant, PeerEnded | None]:
    contestant, error = _started(entrant)
    if error is None and entrant.starts_twice:
        contestant.process.close()
        return _started(entrant)
    return contestant, error


def _started(entrant: Entrant) -> tuple[_Contestant, PeerEnded | None]:
    process = PeerProcess(entrant.name, entrant.module, entrant.arguments)
    try:
        process.wait_ready(OPEN_WITHIN_S)
    except PeerEnded as error:
        return _Contestant(process), error
    return _Contestant(process), None
