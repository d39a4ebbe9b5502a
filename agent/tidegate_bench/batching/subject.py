"""One engine at one precision in a process of its own, asked for batches of different sizes.

Arguments are DIRECTORY ENGINE PRECISION. Each request names a size and a number of samples; the answer is the
processor time that they took.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tidegate_bench.engine.runtimes.tidegate import opened_variant
from tidegate_bench.engine.store import open_inputs
from tidegate_bench.race import answer_requests, output_for_answers


def main() -> None:
    """Entry point of the process."""
    directory, engine, precision = sys.argv[1:]
    output = output_for_answers()
    variant = opened_variant(engine, precision, Path(directory), threads=1)
    sample = open_inputs(Path(directory))[:1]

    def took(request: dict[str, Any]) -> Mapping[str, object]:
        batch = np.ascontiguousarray(np.repeat(sample, request["size"], axis=0))
        variant.run(batch)  # a size is arranged for when it is first seen
        began_ns = time.process_time_ns()
        for _ in range(request["samples"] // request["size"]):
            variant.run(batch)
        return {"ns": time.process_time_ns() - began_ns}

    answer_requests(took, output)


if __name__ == "__main__":
    main()
