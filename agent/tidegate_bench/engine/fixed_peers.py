"""What every fixed peer costs on one network, and what it answers, for benchmarks that compare with them.

    keep_network(network, directory, calibration=calibration, inputs=inputs)
    measured = measure(directory, 1, extent, progress)

Each peer runs the whole network at one precision in its best documented form, calibrated on the same inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_bench.engine.conversion import convert_all
from tidegate_bench.engine.networks import keep_network
from tidegate_bench.engine.peer_race import Entrant, Extent, Measured, compete, entrant
from tidegate_bench.engine.peers import PEERS
from tidegate_bench.engine.store import open_network
from tidegate_bench.progress import Progress

__all__ = ["FIXED", "INT8", "Entrant", "Extent", "FixedPeer", "Measured", "fixed_peers", "keep_network", "measure"]

FIXED = (
    "ort fp32",
    "ort int8",
    "ort int8 dynamic",
    "openvino fp32",
    "openvino int8",
    "litert-torch fp32",
    "litert-torch int8",
    "ncnn fp32",
    "mnn fp32",
    "mnn int8",
    "executorch fp32",
    "executorch int8",
    "onnx fp32",
    "onnx int8",
    "litert fp32",
    "litert int8",
)
"""Others' runtimes and our engines, without gates."""
INT8 = tuple(name for name in FIXED if " int8" in name)


@dataclass(frozen=True, slots=True)
class FixedPeer:
    """A peer and its packages with their versions; where some are not installed it is not measured."""

    name: str
    versions: str
    missing: tuple[str, ...]


def fixed_peers() -> tuple[FixedPeer, ...]:
    """All of them, installed or not."""
    return tuple(FixedPeer(name, PEERS[name].versions, PEERS[name].missing) for name in FIXED)


def measure(
    directory: Path,
    threads: int,
    extent: Extent,
    progress: Progress,
    beside: Sequence[Entrant] = (),
    names: Sequence[str] = FIXED,
) -> dict[str, Measured]:
    """By name, on what `keep_network` kept there: these fixed peers, and `beside` them whoever takes turns too.

    A peer that is not installed, or that can't convert the network, has no figures and says why in `lost`.
    """
    network = open_network(directory)
    peers = [PEERS[name] for name in names if PEERS[name].suits(network)]
    lost = {peer.name: f"not installed: {', '.join(peer.missing)}" for peer in peers if peer.missing}
    lost |= convert_all(directory, [peer for peer in peers if peer.name not in lost], progress)
    entrants = [entrant(peer.name, directory, threads) for peer in peers if peer.name not in lost]
    found = compete(f"{directory.name}, {threads} threads", [*entrants, *beside], extent, progress)
    return {name: Measured(lost=reason) for name, reason in lost.items()} | found
