"""`tidegate bench batching`: processor time of a sample in batches, as a share of that of a sample by itself.

One thread. Sizes take turns in one process, so that what else the machine does meets all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tidegate_bench.broken import BrokenError
from tidegate_bench.engine.networks import keep_subject
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerEnded, PeerProcess, turns

NETWORKS = ("resnet20", "mobilenet_v2", "resnet18")
QUICK_NETWORKS = ("resnet20",)
RUNS = (("onnx", "fp32"), ("onnx", "int8"), ("litert", "fp32"), ("litert", "int8"))
SIZES = (1, 4, 8)
ROUNDS, QUICK_ROUNDS = 9, 5
BLOCK_NS = 150_000_000
WORTH = 0.8
"""Less is not worth the wait of whoever asks alone; docs/decisions/0014-no-batching-of-requests.md."""
OPEN_WITHIN_S, ANSWER_WITHIN_S = 300.0, 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine's samples of one network in batches of `size`: microseconds each, and over those of size 1."""

    network: str
    engine: str
    precision: str
    size: int
    sample_us: float
    over_single: float


def run(*, quick: bool, progress: Progress) -> Figures:
    """Every size on every network and engine. Raises BrokenError."""
    found: list[Measured] = []
    for name in QUICK_NETWORKS if quick else NETWORKS:
        with TemporaryDirectory(prefix="tidegate-batching-") as made:
            progress(f"{name}: exporting")
            directory = Path(made) / name
            keep_subject(name, directory)
            for engine, precision in RUNS:
                progress(f"{name}: {engine} {precision}")
                try:
                    rounds = QUICK_ROUNDS if quick else ROUNDS
                    found += measured(name, directory, engine, precision, rounds)
                except PeerEnded as error:
                    raise BrokenError(f"{name}: {error}") from error
    return Figures("batching", [_row(each) for each in found], [*goals(found)])


def measured(
    name: str, directory: Path, engine: str, precision: str, rounds: int, block_ns: int = BLOCK_NS
) -> list[Measured]:
    """Each size in turn, `rounds` times. Raises PeerEnded."""
    arguments = (str(directory), engine, precision)
    process = PeerProcess(f"{engine} {precision}", "tidegate_bench.batching.subject", arguments)
    try:
        process.wait_ready(OPEN_WITHIN_S)
        largest = max(SIZES)
        once_ns = int(process.ask({"size": 1, "samples": largest}, ANSWER_WITHIN_S)["ns"])
        samples = largest * max(1, round(block_ns / once_ns))
        took: dict[int, list[float]] = {size: [] for size in SIZES}
        for size in turns(SIZES, 1 + rounds):
            ns = int(process.ask({"size": size, "samples": samples}, ANSWER_WITHIN_S)["ns"])
            took[size].append(ns / samples)
    finally:
        process.close()
    # The first round warms up.
    single = took[1][1:]
    return [
        Measured(
            name,
            engine,
            precision,
            size,
            sample_us=median(took[size][1:]) / 1e3,
            over_single=median(ns / alone for ns, alone in zip(took[size][1:], single, strict=True)),
        )
        for size in SIZES
    ]


def _row(each: Measured) -> Mapping[str, Cell]:
    return {
        "network": each.network,
        "engine": f"{each.engine} {each.precision}",
        "batch": each.size,
        "sample_us": each.sample_us,
        "over_single": each.over_single,
    }


def goals(found: Sequence[Measured]) -> Iterator[Goal]:
    """What gathering requests would have to save, of the largest batch."""
    for each in found:
        if each.size == max(SIZES):
            said = f"{each.network}, {each.engine} {each.precision}: processor time of a sample in batches of 8"
            yield Goal(f"{said} over one by itself", WORTH, each.over_single, at_least=False)
