"""What requests to all models share: the policy's limits, memory for bodies, regions, a thread for slow ones."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tidegate.messages import AdmissionState
from tidegate.worker.admission import Admission
from tidegate.worker.http.bodies import Bodies
from tidegate.worker.shared_memory import SharedMemory

T = TypeVar("T")

BUDGET_BYTES = 32 * 1024 * 1024
"""What the bodies of all requests, and the batches made of them, may hold; four of the largest fit in any case."""


class Reception:
    """One event loop's; `admission_state` is what the supervisor last said of the policy."""

    def __init__(self, admission: Admission | None = None) -> None:
        self.admission_state = AdmissionState(fits=True, refuse=False, reason="")
        self.admission = Admission() if admission is None else admission
        self.regions = SharedMemory()
        self.bodies = Bodies(0, BUDGET_BYTES)
        self.turned_away = 0
        # One: what it does holds the interpreter's lock, and two would only take it from each other.
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parsing")

    def fit_bodies(self, largest_bytes: Iterable[int]) -> None:
        """Take bodies as large as the models' largest requests."""
        self.bodies.max_bytes = largest = max(largest_bytes)
        self.bodies.budget_bytes = max(BUDGET_BYTES, 4 * largest)

    def take_turned_away(self) -> int:
        """How many requests the policy's limits refused since the last call."""
        count, self.turned_away = self.turned_away, 0
        return count

    async def aside_if(self, slow: bool, function: Callable[[], T]) -> T:
        """Call where it delays nobody, or here when it is quick."""
        if slow:
            return await asyncio.get_running_loop().run_in_executor(self._aside, function)
        return function()
