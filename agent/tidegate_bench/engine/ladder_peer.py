"""One contestant of the ladder's race, in a process of its own, over the images of the report part.

`python -m tidegate_bench.engine.ladder_peer NAME DIRECTORY THREADS`, where NAME is a peer of `peers`, or
ENGINE:POINT of the bundle in the directory, `ENGINE spun:POINT` with threads that wait awake. Each line of
standard input is a request in JSON, answered in a line.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tidegate.engines.engine import Array
from tidegate.models.bundle import open_bundle
from tidegate_bench.engine.peers import PEERS
from tidegate_bench.engine.runtimes.peer import Run
from tidegate_bench.engine.store import open_inputs
from tidegate_bench.race import answer_requests

BUNDLE = "bundle"


def main() -> None:
    """The child: answers until standard input ends."""
    name, directory, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    images = open_inputs(directory)
    run = _opened(name, directory, threads)
    run(images[:1])
    turns = _in_turn(len(images))

    def answer(request: Mapping[str, Any]) -> Mapping[str, object]:
        match request:
            case {"run": int(count)}:
                return {"latencies_ms": _timed(run, images, [next(turns) for _ in range(count)])}
            case {"paced": int(count), "hz": float(hz)}:
                return {"cpu_ms": _paced(run, images, [next(turns) for _ in range(count)], hz)}
            case _:
                return {"answers": [int(run(image[None]).argmax()) for image in images]}

    answer_requests(answer)


def _opened(name: str, directory: Path, threads: int) -> Run:
    engine_name, _, point_name = name.partition(":")
    if not point_name:
        return PEERS[name].open(directory, threads)
    from tidegate.engines.runtime.registry import open_engine  # noqa: PLC0415 - peers are measured without our engines' imports

    bundle = open_bundle(directory / BUNDLE)
    named, _, spun = engine_name.partition(" ")
    engine = open_engine(named, bundle, directory / "cache", spin=bool(spun))
    point = bundle.ladder.points[bundle.ladder.rung(point_name)]
    variant = engine.prepare(replace(point, threads=threads))
    return lambda batch: variant.run(batch).outputs


def _in_turn(count: int) -> Iterator[int]:
    while True:
        yield from range(count)


def _timed(run: Run, images: Array, indices: list[int]) -> list[list[float]]:
    """Pairs of image and latency in ms. A run goes before, as it finds the caches full of the others' weights."""
    run(images[:1])
    pairs = []
    for index in indices:
        image = images[index : index + 1]
        start = time.perf_counter()
        run(image)
        pairs.append([index, (time.perf_counter() - start) * 1e3])
    return pairs


def _paced(run: Run, images: Array, indices: list[int], hz: float) -> float:
    """CPU time of the whole process per image, in ms, when images come at a steady rate."""
    start, cpu = time.perf_counter(), time.process_time()
    for turn, index in enumerate(indices):
        time.sleep(max(0.0, start + turn / hz - time.perf_counter()))
        run(images[index : index + 1])
    time.sleep(max(0.0, start + len(indices) / hz - time.perf_counter()))
    return (time.process_time() - cpu) * 1e3 / len(indices)


if __name__ == "__main__":
    main()
