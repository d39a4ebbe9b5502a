"""Where Core ML means to compute a package's functions, by its own compute plan. Not run on hardware yet.

It is Core ML's intention and not proof: what a unit answers is held against the CPU's answers all the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tidegate.engines.coreml.runtime import (
    ComputeUnit,
    MLComputePlan,
    MLCPUComputeDevice,
    MLGPUComputeDevice,
    MLNeuralEngineComputeDevice,
)
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.runtime.placement import CPU, GPU, NEURAL_ENGINE

UNTOLD = "untold"
_UNITS = ((MLNeuralEngineComputeDevice, NEURAL_ENGINE), (MLGPUComputeDevice, GPU), (MLCPUComputeDevice, CPU))


@dataclass(frozen=True, slots=True)
class Share:
    """What one unit is to compute of a function; `cost` is its share by Core ML's estimate, None without one."""

    unit: str
    operations: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class PlannedFunction:
    """A function and its units, the one with most operations first; constants are none."""

    name: str
    shares: tuple[Share, ...]

    def __str__(self) -> str:
        """As `p_full: 37 of 40 operations on neural engine (98 % of the estimated cost), 3 on cpu`."""
        total = sum(share.operations for share in self.shares)
        parts = [
            f"{share.operations}{f' of {total} operations' if first else ''} on {share.unit}"
            + ("" if share.cost is None else f" ({share.cost:.0%} of the estimated cost)".replace("%", " %"))
            for first, share in zip((True, *(False,) * len(self.shares)), self.shares, strict=False)
        ]
        return f"{self.name}: {', '.join(parts) or 'no operations'}"


def planned_functions(path: Path, unit: ComputeUnit) -> Iterator[PlannedFunction]:
    """Of a compiled package, `NAME.mlmodelc`, with `unit` asked for. Raises UnsupportedPoint without a plan."""
    try:
        plan = MLComputePlan.load_from_path(str(path), unit)
        program = plan.model_structure.program
    # coremltools raises bare exceptions.
    except Exception as error:
        raise UnsupportedPoint(f"Core ML has no plan for {path}: {error}") from error
    if program is None:
        raise UnsupportedPoint(f"Core ML has no plan for {path}: it is no program")
    for name, function in sorted(program.functions.items()):
        counts: dict[str, int] = {}
        costs: dict[str, float] = {}
        for operation in function.block.operations:
            usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
            if usage is None:  # a constant
                continue
            unit_name = _name_of(usage.preferred_compute_device)
            counts[unit_name] = counts.get(unit_name, 0) + 1
            cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
            if cost is not None:
                costs[unit_name] = costs.get(unit_name, 0.0) + cost.weight
        most_first = sorted(counts, key=lambda each: (-counts[each], each))
        yield PlannedFunction(name, tuple(Share(each, counts[each], costs.get(each)) for each in most_first))


def _name_of(device: object) -> str:
    return next((name for kind, name in _UNITS if isinstance(device, kind)), UNTOLD)
