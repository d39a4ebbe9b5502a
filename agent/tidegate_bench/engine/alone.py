"""What an engine does on its own: time against skipped work, preparing from kept files, weights and activations.

`python -m tidegate_bench.engine.alone ENGINE DIRECTORY` is the child: it opens, says ready and answers requests.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tidegate.engines.engine import Array, Engine
from tidegate.engines.memory import return_freed
from tidegate.models.flops import segment_flops
from tidegate.models.network import TrainedNetwork
from tidegate_bench.engine.peers import open_engine, unmeasured
from tidegate_bench.engine.store import inputs_for, open_network
from tidegate_bench.figures import Cell, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerEnded, PeerProcess, answer_requests

ENGINES = ("packed", "onnx")
PREPARE_GOALS_MS = {"resnet18": 15.0, "vgg16": 300.0}
LINEAR_ON = "resnet18"
LIVE_ON = "vgg16"
LARGEST_SHARE = 0.65
OFF_LINE = 0.03
WEIGHTS_SHARE = 0.27
LIVE_SHARE = 0.2

_OPEN_WITHIN_S = 180.0
_ANSWER_WITHIN_S = 120.0
_PREPARES = 5
_SHUT = 1e9


@dataclass(frozen=True, slots=True)
class Inside:
    """Of one engine. `times` holds (skipped share of operations, time / time of the whole); None: not measured."""

    engine: str
    times: Sequence[tuple[float, float]]
    prepare_ms: float | None
    weights_share: float | None
    live_bytes: int | None
    live_eager_bytes: int | None
    lost: str = ""

    @property
    def live_share(self) -> float | None:
        """Live activations against eager's."""
        if self.live_bytes is None or not self.live_eager_bytes:
            return None
        return self.live_bytes / self.live_eager_bytes


def measure(directory: Path, progress: Progress, *, quick: bool) -> tuple[Inside, ...]:
    """Each engine in a process of its own; one that ends is told and left out."""
    found = []
    for engine in ENGINES:
        progress(f"{directory.name}: {engine} on its own")
        process = PeerProcess(engine, "tidegate_bench.engine.alone", (engine, str(directory)))
        try:
            process.wait_ready(_OPEN_WITHIN_S)
            found.append(_asked(process, directory.name, quick))
        except PeerEnded as error:
            progress(f"{directory.name}: {error}; its rows are lost")
            found.append(Inside(engine, (), None, None, None, None, str(error)))
        finally:
            process.close()
    return tuple(found)


def rows(network: str, found: Sequence[Inside]) -> Iterator[dict[str, Cell]]:
    """For the tables."""
    for each in found:
        for share, time_share in each.times:
            yield {
                "network": network,
                "engine": f"{each.engine} fp32",
                "skipped_operations": round(share, 3),
                "time_of_whole": round(time_share, 3),
            }
        yield {
            "network": network,
            "engine": f"{each.engine} int8 ({each.lost})" if each.lost else f"{each.engine} int8",
            "prepare_ms": each.prepare_ms,
            "weights_of_fp32": each.weights_share,
            "live_mib": None if each.live_bytes is None else each.live_bytes / 2**20,
            "live_eager_mib": None if each.live_eager_bytes is None else each.live_eager_bytes / 2**20,
        }


def goals(network: str, found: Sequence[Inside]) -> Iterator[Goal]:
    """Those that hang on one engine alone."""
    for each in found:
        label = f"{network}, {each.engine}:"
        yield Goal(f"{label} int8 weights / fp32's", WEIGHTS_SHARE, each.weights_share, False)
        if network in PREPARE_GOALS_MS:
            yield Goal(f"{label} int8 from kept files, ms", PREPARE_GOALS_MS[network], each.prepare_ms, False)
        if each.engine != "packed":
            continue
        if network == LINEAR_ON:
            off = [abs(took - (1 - share)) for share, took in each.times if share <= LARGEST_SHARE]
            text = f"{label} time off the line of skipped operations, fp32, up to {LARGEST_SHARE}"
            yield Goal(text, OFF_LINE, max(off, default=None), False)
        if network == LIVE_ON:
            yield Goal(f"{label} live activations at int8 / eager's", LIVE_SHARE, each.live_share, False)


def _asked(process: PeerProcess, network: str, quick: bool) -> Inside:
    def ask(**request: object) -> dict[str, Any]:
        return process.ask(request, _ANSWER_WITHIN_S)

    linear = ask(what="skips", rounds=3 if quick else 30)["times"] if network == LINEAR_ON else ()
    kept = ask(what="prepare")
    live = ask(what="live") if process.name == "packed" else {"int8": None, "eager": None}
    return Inside(
        process.name,
        tuple((share, took) for share, took in linear),
        kept["prepare_ms"],
        kept["weights_share"],
        live["int8"],
        live["eager"],
    )


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


def _prepare(engine: Engine, sample: Array) -> dict[str, object]:
    """How long an int8 variant takes whose files are kept and in the page cache, and what it holds."""
    point = unmeasured(engine.name, "int8", 1)
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


def _live(engine: Engine, network: TrainedNetwork, sample: Array) -> dict[str, object]:
    """Most bytes of tensors that one answer had allocated at once, weights not counted."""
    from tidegate.engines.eager import EagerEngine  # noqa: PLC0415 - torch, which the onnx engine's child goes without

    found = {}
    for each, name, precision in ((EagerEngine(network), "eager", "fp32"), (engine, "int8", "int8")):
        variant = each.prepare(unmeasured(each.name, precision, 1))
        variant.run(sample)
        found[name] = _peak_bytes(partial(variant.run, sample))
        variant.release()
    return dict(found)


def _peak_bytes(run: Callable[[], object]) -> int:
    import torch  # noqa: PLC0415 - as above

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    events: Any = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def main() -> None:
    """The child."""
    name, directory = sys.argv[1], Path(sys.argv[2])
    network = open_network(directory)
    sample = inputs_for(network, 1)
    engine = open_engine(name, directory, network)

    def measured(request: Mapping[str, Any]) -> Mapping[str, object]:
        match request["what"]:
            case "skips":
                return _skips(engine, network, sample, request["rounds"])
            case "prepare":
                return _prepare(engine, sample)
            case _:
                return _live(engine, network, sample)

    answer_requests(measured)


if __name__ == "__main__":
    main()
