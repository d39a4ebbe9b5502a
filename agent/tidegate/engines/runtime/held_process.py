"""A process that holds one point of a bundle and answers: what it takes, the libraries included.

`python -m tidegate.engines.runtime.held_process BUNDLE POINT` prints one JSON object. It is a process of its own
because only then its memory is the point's and nothing else's.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from tidegate import child
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle

ANSWERS = 5
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class HeldProcess:
    """Of the process after it has answered; PSS is None where the system doesn't tell it."""

    rss_bytes: int
    pss_bytes: int | None


def measure_process(bundle: Path, point: str) -> HeldProcess | None:
    """Run the process; None where it did not come to its end, as when the point's engine is not installed."""
    command = child.command("tidegate.engines.runtime.held_process", str(bundle), point)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=child.environment(),
        )
    except subprocess.TimeoutExpired:
        return None
    return HeldProcess(**json.loads(done.stdout)) if done.returncode == 0 else None


def _main() -> None:
    keep_one_heap()
    bundle = open_bundle(Path(sys.argv[1]))
    point = bundle.ladder.points[bundle.ladder.rung(sys.argv[2])]
    variant = open_engine(point.engine, bundle).prepare(point)
    sample = np.zeros((1, *bundle.segments[0].input_shape), np.float32)
    for _ in range(ANSWERS):
        variant.run(sample)
    memory = psutil.Process().memory_full_info()
    sys.stdout.write(json.dumps(asdict(HeldProcess(memory.rss, getattr(memory, "pss", None)))))


if __name__ == "__main__":
    _main()
