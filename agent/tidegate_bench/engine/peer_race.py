"""All peers on one network at one thread count: each in its own process, taking turns, bounded by time."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerEnded, PeerProcess, turns

KEEP_FILES = frozenset({"onnx int8", "onnx int8 gated", "onnx fp32 gated"})
"""They keep files for the next start, which is what a device mostly sees: theirs are made by a start before."""
OPEN_WITHIN_S = 120.0
"""torch.compile takes 15 to 40 s; whoever takes longer than this is out."""
TURN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Extent:
    """How long it takes: turns per peer, and seconds of each (a slow peer takes its three runs)."""

    turns: int
    turn_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of one peer on one network; None with the reason in `lost` where its process ended."""

    latency_ms: float | None
    cpu_ms: float | None
    rss_mib: float | None
    lost: str = ""


@dataclass(slots=True)
class _Contestant:
    process: PeerProcess
    latencies_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    rss_bytes: int = 0
    lost: str = ""

    def turn(self, seconds: float) -> None:
        """Let it run while all others wait."""
        said = self.process.ask({"seconds": seconds}, TURN_WITHIN_S)
        # The first run of a turn finds the caches full of the others' weights.
        self.latencies_ms += said["latencies_ms"][1:]
        self.cpu_ms.append(said["cpu_ms"])
        self.rss_bytes = said["rss_bytes"]

    def measured(self) -> Measured:
        if self.lost or not self.latencies_ms:
            return Measured(None, None, None, self.lost)
        return Measured(median(self.latencies_ms), median(self.cpu_ms), self.rss_bytes / 2**20)


def compete(
    directory: Path, threads: int, peers: Sequence[str], extent: Extent, progress: Progress
) -> dict[str, Measured]:
    """What each peer measured. A peer whose process ends loses its own row and no other's."""
    where = f"{directory.name}, {threads} threads"

    def drop_out(contestant: _Contestant, error: PeerEnded) -> None:
        contestant.lost = str(error)
        contestant.process.close()
        progress(f"{where}: {error}; its row is lost")

    progress(f"{where}: opening {len(peers)} peers")
    contestants: list[_Contestant] = []
    # Opening is not measured, so that it may use all cores; not more at once, for the memory that packing takes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        opened = {peer: pool.submit(_opened, peer, directory, threads) for peer in peers}
        for future in opened.values():
            contestant, error = future.result()
            contestants.append(contestant)
            if error is not None:
                drop_out(contestant, error)
    try:
        progress(f"{where}: {extent.turns} turns each")
        for contestant in turns(contestants, extent.turns):
            if contestant.lost:
                continue
            try:
                contestant.turn(extent.turn_s)
            except PeerEnded as error:
                drop_out(contestant, error)
    finally:
        for contestant in contestants:
            contestant.process.close()
    return {contestant.process.name: contestant.measured() for contestant in contestants}


def _opened(peer: str, directory: Path, threads: int) -> tuple[_Contestant, PeerEnded | None]:
    contestant, error = _started(peer, directory, threads)
    marker = directory / f"{peer} kept"
    if error is None and peer in KEEP_FILES and not marker.exists():
        marker.touch()
        contestant.process.close()
        return _started(peer, directory, threads)
    return contestant, error


def _started(peer: str, directory: Path, threads: int) -> tuple[_Contestant, PeerEnded | None]:
    process = PeerProcess(peer, "tidegate_bench.engine.peers", (peer, str(directory), str(threads)))
    try:
        process.wait_ready(OPEN_WITHIN_S)
    except PeerEnded as error:
        return _Contestant(process), error
    return _Contestant(process), None
