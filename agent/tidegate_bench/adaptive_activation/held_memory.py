"""A process that holds one network of the zoo at one precision and answers: what it takes and how long it needs.

`python -m tidegate_bench.adaptive_activation.held_memory NAME PRECISION RESOLUTION [WEIGHTS]` prints one JSON
object. It is a process of its own because only then its memory is the model's and the libraries', and nothing
else.
"""

import ctypes
import gc
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from tidegate import child
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.ladder import Precision
from tidegate_bench.adaptive_activation.full_network import full_network
from tidegate_bench.broken import BrokenError
from tidegate_bench.zoo.catalog import ZOO

ROUNDS = 10
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Figures of the process after it has answered; PSS is None where the system doesn't tell it."""

    rss_bytes: int
    pss_bytes: int | None
    latency_p50_ms: float
    weights_resident_bytes: int


def measure(name: str, precision: Precision, resolution: int, weights: Path | None = None) -> ProcessMemory:
    """Run the process. Raises BrokenError."""
    kept = [] if weights is None else [str(weights)]
    command = child.command(
        "tidegate_bench.adaptive_activation.held_memory", name, precision, str(resolution), *kept
    )
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=child.environment()
        )
    except subprocess.TimeoutExpired:
        raise BrokenError(f"{name} at {resolution} did not answer within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise BrokenError(f"{name} at {resolution}: {done.stderr.strip().splitlines()[-1:]}")
    return ProcessMemory(**json.loads(done.stdout))


def _main() -> None:
    name, precision, resolution, *weights = sys.argv[1:]
    torch.set_num_threads(1)
    masters = full_network(name, int(resolution), Path(weights[0]) if weights else None)
    network = EagerEngine(masters).build(KnobSettings(precision=Precision(precision)))
    del masters
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    image = np.random.default_rng(0).random((1, ZOO[name].channels, int(resolution), int(resolution)), np.float32)
    times_ms = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        network.forward(image)
        times_ms.append((time.perf_counter() - start) * 1e3)
    memory = psutil.Process().memory_full_info()
    held = ProcessMemory(
        memory.rss, getattr(memory, "pss", None), float(np.median(times_ms)), network.weights_resident_bytes
    )
    sys.stdout.write(json.dumps(asdict(held)))


if __name__ == "__main__":
    _main()
