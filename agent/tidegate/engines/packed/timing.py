"""How the self-test tells fast from slow."""

import time
from collections.abc import Callable

_RUNS = 7


def fastest_s(function: Callable[[], object]) -> float:
    """The shortest of a few runs: whatever else the machine does only ever makes a run longer."""
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
