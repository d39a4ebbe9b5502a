"""What our engine does on its own: time against skipped work, preparing from kept files, weights.

`python -m tidegate_bench.engine.alone DIRECTORY` is the child: it opens, says ready and answers requests.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tidegate.engines.engine import Array, Engine
from tidegate.engines.runtime.memory import return_freed
from tidegate.models.graph.flops import segment_flops
from tidegate.models.ladder import Ranges
from tidegate.models.network import TrainedNetwork
from tidegate_bench.engine.runtimes.tidegate import open_onnx, unmeasured
from tidegate_bench.engine.store import open_inputs, open_network, open_ranges
from tidegate_bench.figures import Cell, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerEnded, PeerProcess, answer_requests

ENGINE = "onnx"
PREPARE_GOALS_MS = {"resnet18": 15.0, "vgg16": 300.0}
LINEAR_ON = "resnet18"
LARGEST_SHARE = 0.65
OFF_LINE = 0.03
WEIGHTS_SHARE = 0.27

_OPEN_WITHIN_S = 180.0
_ANSWER_WITHIN_S = 120.0
_PREPARES = 5
_SHUT = 1e9


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """Of our engine. `times` holds (skipped share of operations, time / time of the whole); None: not measured."""

    times: Sequence[tuple[float, float]]
    prepare_ms: float | None
    weights_share: float | None
    lost: str = ""


def measure(directory: Path, progress: Progress, *, quick: bool) -> OwnFigures:
    """The engine in a process of its own; one that ends is told and loses its rows."""
    progress(f"{directory.name}: {ENGINE} on its own")
    process = PeerProcess(ENGINE, "tidegate_bench.engine.alone", (str(directory),))
    try:
        process.wait_ready(_OPEN_WITHIN_S)
        return _ask_all(process, directory.name, quick)
    except PeerEnded as error:
        progress(f"{directory.name}: {error}; its rows are lost")
        return OwnFigures((), None, None, str(error))
    finally:
        process.close()


def rows(network: str, found: OwnFigures) -> Iterator[dict[str, Cell]]:
    """For the tables."""
    for share, time_share in found.times:
        yield {
            "network": network,
            "engine": f"{ENGINE} fp32",
            "skipped_operations": round(share, 3),
            "time_of_whole": round(time_share, 3),
        }
    yield {
        "network": network,
        "engine": f"{ENGINE} int8 ({found.lost})" if found.lost else f"{ENGINE} int8",
        "prepare_ms": found.prepare_ms,
        "weights_of_fp32": found.weights_share,
    }


def goals(network: str, found: OwnFigures) -> Iterator[Goal]:
    """Those that hang on our engine alone."""
    label = f"{network}, {ENGINE}:"
    yield Goal(f"{label} int8 weights / fp32's", WEIGHTS_SHARE, found.weights_share, False)
    if network in PREPARE_GOALS_MS:
        yield Goal(f"{label} int8 from kept files, ms", PREPARE_GOALS_MS[network], found.prepare_ms, False)
    if network == LINEAR_ON:
        off = [abs(took - (1 - share)) for share, took in found.times if share <= LARGEST_SHARE]
        text = f"{label} time off the line of skipped operations, fp32, up to {LARGEST_SHARE}"
        yield Goal(text, OFF_LINE, max(off, default=None), False)


def _ask_all(process: PeerProcess, network: str, quick: bool) -> OwnFigures:
    def ask(**request: object) -> dict[str, Any]:
        return process.ask(request, _ANSWER_WITHIN_S)

    linear = ask(what="skips", rounds=3 if quick else 30)["times"] if network == LINEAR_ON else ()
    kept = ask(what="prepare")
    return OwnFigures(tuple((share, took) for share, took in linear), kept["prepare_ms"], kept["weights_share"])


def _skips(engine: Engine, network: TrainedNetwork, sample: Array, rounds: int) -> dict[str, object]:
    """Time with the gates of none, one, two ... blocks shut, taking turns; the others have no gate."""
    blocks = [segment for segment in network.segments if segment.skippable]
    flops = {segment.name: segment_flops(segment, network.weight_shapes) for segment in network.segments}
    variants = []
    for count in range(len(blocks) + 1):
        shut = {block.name: _SHUT for block in blocks[:count]}
        share = sum(flops[name] for name in shut) / sum(flops.values())
        variants.append((share, engine.prepare(unmeasured(engine.name, "fp32", 1, shut))))
    times: dict[float, list[float]] = {share: [] for share, _ in variants}
    for _ in range(rounds):
        for share, variant in variants:
            variant.run(sample)
            for _ in range(2):
                start = time.perf_counter()
                variant.run(sample)
                times[share].append(time.perf_counter() - start)
    whole = median(times[0.0])
    return {"times": [(share, median(taken) / whole) for share, taken in times.items()]}


def _prepare(engine: Engine, ranges: Ranges, sample: Array) -> dict[str, object]:
    """How long an int8 variant takes whose files are kept and in the page cache, and what it holds."""
    point = unmeasured(engine.name, "int8", 1, ranges=ranges)
    full = engine.prepare(unmeasured(engine.name, "fp32", 1))
    whole = full.weights_resident_bytes
    full.release()
    taken_ms = []
    held = 0
    for _ in range(1 + _PREPARES):
        start = time.perf_counter()
        variant = engine.prepare(point)
        taken_ms.append((time.perf_counter() - start) * 1e3)
        variant.run(sample)
        held = variant.weights_resident_bytes
        variant.release()
        return_freed()
        time.sleep(0.2)
    return {"prepare_ms": median(taken_ms[1:]), "weights_share": held / whole}


def main() -> None:
    """The child."""
    directory = Path(sys.argv[1])
    network = open_network(directory)
    sample = open_inputs(directory)[:1]
    engine = open_onnx(directory, network)

    def measured(request: Mapping[str, Any]) -> Mapping[str, object]:
        match request["what"]:
            case "skips":
                return _skips(engine, network, sample, request["rounds"])
            case _:
                return _prepare(engine, open_ranges(directory), sample)

    answer_requests(measured)


if __name__ == "__main__":
    main()
