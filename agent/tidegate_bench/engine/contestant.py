"""One contestant in a process of its own, so that no two runtimes share a thread pool.

`python -m tidegate_bench.engine.contestant PEER DIRECTORY THREADS` opens a peer, says ready and serves. Other
contestants of the same race, with a module of their own, call `serve` too.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tidegate.engines.engine import Array
from tidegate_bench.engine.runtimes.peer import Run
from tidegate_bench.engine.store import open_inputs
from tidegate_bench.race import answer_requests, output_for_answers

FEWEST_RUNS = 3


def serve(run: Run, inputs: Array, output: int = 1) -> None:
    """Answer the race's requests with `run` on `inputs` (n, *input shape), one at a time and in turn.

    `{"seconds": s}`: without a pause, `{"paced": n, "hz": f}`: n of them at a steady rate, `{"answers": path}`:
    all once, written there as one array (n, *output shape). `output` is the file descriptor to answer on.
    """
    run(inputs[:1])
    following = cycle([inputs[index : index + 1] for index in range(len(inputs))])

    def answer(request: Mapping[str, Any]) -> Mapping[str, object]:
        match request:
            case {"seconds": float(seconds) | int(seconds)}:
                return _saturated(run, following, seconds)
            case {"paced": int(count), "hz": float(hz)}:
                return {"cpu_ms": _paced(run, following, count, hz)}
            case {"answers": str(path)}:
                answers = [np.array(run(inputs[index : index + 1])) for index in range(len(inputs))]
                np.save(path, np.concatenate(answers))
                return {}
            case _:
                raise ValueError(f"no such request: {request}")

    answer_requests(answer, output)


def _saturated(run: Run, following: Iterator[Array], seconds: float) -> Mapping[str, object]:
    # The first run of a turn finds the caches full of the others' weights.
    run(next(following))
    latencies_ms: list[float] = []
    cpu_before = time.process_time()
    while len(latencies_ms) < FEWEST_RUNS or sum(latencies_ms) < seconds * 1e3:
        sample = next(following)
        start = time.perf_counter()
        run(sample)
        latencies_ms.append((time.perf_counter() - start) * 1e3)
    cpu_ms = (time.process_time() - cpu_before) * 1e3 / len(latencies_ms)
    return {"latencies_ms": latencies_ms, "cpu_ms": cpu_ms, "rss_bytes": psutil.Process().memory_info().rss}


def _paced(run: Run, following: Iterator[Array], count: int, hz: float) -> float:
    """CPU time of the whole process per input, in ms, with the sleep after the last one in it."""
    start, cpu = time.perf_counter(), time.process_time()
    for turn in range(count):
        time.sleep(max(0.0, start + turn / hz - time.perf_counter()))
        run(next(following))
    time.sleep(max(0.0, start + count / hz - time.perf_counter()))
    return (time.process_time() - cpu) * 1e3 / count


def main() -> None:
    """The child."""
    from tidegate_bench.engine.peers import PEERS  # noqa: PLC0415 - other contestants serve without the table of peers

    output = output_for_answers()
    name, directory, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    serve(PEERS[name].open(directory, threads), open_inputs(directory), output)


if __name__ == "__main__":
    main()
