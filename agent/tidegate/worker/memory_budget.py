"""The memory that all models of a worker share: whether one more fits, before it is loaded and after."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tidegate.engines.runtime.memory import held_bytes
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.manifest import CANARIES
from tidegate.models.ladder import OperatingPoint
from tidegate_drivers.linux.cgroup import groups
from tidegate_drivers.sensor import SensorError

LEAST_NEED_BYTES = 4 << 20
"""A runtime's session has a size of its own, however small the network."""
KEPT_FREE = 0.1
"""The share of the machine's memory that loading leaves to everything else, of the worker's to its requests."""
TIGHT = 0.05
"""With less than this share of its limit left, the worker is about to be replaced for outgrowing it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine's memory in bytes; `group_bytes` are left in a control group that has a limit."""

    total_bytes: int
    available_bytes: int
    group_bytes: float | None = None


def machine_memory() -> Machine:
    """As it is now."""
    memory, left = psutil.virtual_memory(), []
    if sys.platform == "linux":
        with suppress(SensorError):
            left = [each for group in groups(Path("/")) if (each := group.available_bytes()) is not None]
    return Machine(memory.total, memory.available, min(left, default=None))


class MemoryBudget:
    """`limit_bytes` is what the worker may hold, None where only the machine is the limit."""

    def __init__(
        self,
        limit_bytes: int | None,
        held: Callable[[], int] = held_bytes,
        machine: Callable[[], Machine] = machine_memory,
    ) -> None:
        self.limit_bytes = limit_bytes
        self._held = held
        self._machine = machine

    @property
    def held_bytes(self) -> int:
        """What the worker holds now."""
        return self._held()

    def lacking(self, need_bytes: float) -> str | None:
        """Why so much more doesn't fit, in words; None where it does."""
        held, machine = self._held(), self._machine()
        if self.limit_bytes is not None and held + need_bytes > (1 - KEPT_FREE) * self.limit_bytes:
            return (
                f"it needs about {_mib(need_bytes)} MiB, and the worker holds {_mib(held)} of the"
                f" {_mib(self.limit_bytes)} MiB that worker.memory_limit allows, a tenth of which is for requests"
            )
        if machine.available_bytes - need_bytes < KEPT_FREE * machine.total_bytes:
            return (
                f"it needs about {_mib(need_bytes)} MiB, and {_mib(machine.available_bytes)} MiB of this machine's"
                f" {_mib(machine.total_bytes)} are available, of which a tenth of all is to stay so"
            )
        if machine.group_bytes is not None and need_bytes > machine.group_bytes:
            return (
                f"it needs about {_mib(need_bytes)} MiB, and {_mib(machine.group_bytes)} MiB are left of what this"
                " service or container may have"
            )
        return None

    @property
    def is_tight(self) -> bool:
        """Whether the worker is near its limit."""
        return self.limit_bytes is not None and self._held() > (1 - TIGHT) * self.limit_bytes

    def exceeded(self) -> str | None:
        """By how much the worker is over its limit, in words; None where it isn't."""
        held = self._held()
        if self.limit_bytes is None or held <= self.limit_bytes:
            return None
        return f"with it the worker held {_mib(held)} MiB, worker.memory_limit allows {_mib(self.limit_bytes)}"


def need_bytes(bundle: Bundle, point: OperatingPoint) -> int:
    """What a model takes at a point by its bundle's figures: weights, and what is alive during an answer."""
    figures = point.figures
    canaries = (bundle.path / CANARIES).stat().st_size
    return max(LEAST_NEED_BYTES, figures.weights_resident_bytes + (figures.peak_live_dense_bytes or 0) + canaries)


def _mib(size: float) -> str:
    return f"{size / (1 << 20):.0f}"
