"""On which processors the pool threads of a session run: each on one of its own.

A pool thread that wakes up may be put on the processor of the thread that woke it. Where threads sleep between
layers the two then wait for each other at every layer: ResNet-18 in int8 gains nothing from a second thread. The
thread that asks isn't in the pool and is left to the system.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PROCESSORS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Processor:
    """`capacity` is relative to the others', and `shares_core` with a processor of a lower number."""

    capacity: int
    shares_core: bool


def own_processors(root: Path = _PROCESSORS) -> Mapping[int, Processor]:
    """The processors that this process may run on, by number; none where the system doesn't tell. Linux alone."""
    if sys.platform != "linux":
        return {}
    return {number: _processor(root, number) for number in os.sched_getaffinity(0)}


def affinities(threads: int, processors: Mapping[int, Processor]) -> str | None:
    """ONNX Runtime's setting for a session with that many threads; None leaves it to the system.

    The strongest processors first, and no two of one core while there are others.
    """
    if not 1 < threads <= len(processors):
        return None

    def rank(number: int) -> tuple[bool, int, int]:
        each = processors[number]
        return each.shares_core, -each.capacity, -number

    pool = sorted(processors, key=rank)[: threads - 1]
    # It counts processors from 1.
    return ";".join(str(number + 1) for number in pool)


def _processor(root: Path, number: int) -> Processor:
    siblings = _text(root / f"cpu{number}" / "topology" / "thread_siblings_list")
    first = siblings.replace("-", ",").split(",")[0]
    capacity = _text(root / f"cpu{number}" / "cpu_capacity")
    return Processor(int(capacity) if capacity.isdigit() else 0, first.isdigit() and int(first) < number)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
