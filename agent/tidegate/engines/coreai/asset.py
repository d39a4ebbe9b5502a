"""A ladder as one Core AI asset, `ladder.aimodel`: a function for each way through a point, weights shared.

What is written is read back and compared with what was asked for. Two builds of one ladder differ in their bytes:
Core AI's own doing, so an asset is never known by its hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tidegate.engines.coreai.function import StageFunction, emit_function
from tidegate.engines.coreai.graph_builder import Dtype
from tidegate.engines.coreai.runtime import ops
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.functions.staged import CAPABILITIES, staged
from tidegate.engines.plan.arithmetic import arithmetic_of
from tidegate.engines.plan.execution import plan_execution, with_signs
from tidegate.engines.support import at_resolution
from tidegate.errors import EX_SOFTWARE, TidegateError
from tidegate.models.ladder import OperatingPoint
from tidegate.models.network import Network


class AssetError(TidegateError):
    """An asset that was written holds something else than was asked for."""

    exit_code = EX_SOFTWARE


@dataclass(frozen=True, slots=True)
class WrittenAsset:
    """An asset on disk, and the points that have no function in it, with the reason."""

    path: Path
    functions: dict[str, tuple[str, ...]]
    refused: dict[str, str]
    weights_bytes: int


def functions_of(network: Network, point: OperatingPoint) -> list[StageFunction]:
    """All functions of a point. Raises UnsupportedPoint for knobs that don't fit."""
    shaped = at_resolution(network, point.resolution)
    plan = with_signs(plan_execution(shaped, point))
    arithmetic = arithmetic_of(network, point, plan, CAPABILITIES, native=False)
    return [StageFunction(name, stage, arithmetic) for name, stage in staged(network, point)]


def check_point(network: Network, point: OperatingPoint, dtype: Dtype) -> None:
    """Raises UnsupportedPoint for an operator or a knob without Core AI form."""
    _module(network, functions_of(network, point), dtype)


def write_asset(network: Network, points: Sequence[OperatingPoint], dtype: Dtype, path: Path) -> WrittenAsset:
    """One asset of all points that have a form. Raises UnsupportedPoint where none has, AssetError and OSError."""
    functions: dict[str, list[StageFunction]] = {}
    refused: dict[str, str] = {}
    for point in points:
        try:
            own = functions_of(network, point)
            _module(network, own, dtype)
            functions[point.name] = own
        except UnsupportedPoint as error:
            refused[point.name] = str(error)
    if not functions:
        raise UnsupportedPoint(f"no operating point has a Core AI form: {'; '.join(refused.values())}")
    every = {each.name: each for own in functions.values() for each in own}
    ops.AIProgram(_module(network, list(every.values()), dtype)).save_asset(path)
    names = {name: tuple(each.name for each in own) for name, own in functions.items()}
    return WrittenAsset(path, names, refused, _checked_bytes(every, path))


def _module(network: Network, functions: Sequence[StageFunction], dtype: Dtype) -> "ops.Module":
    arrays = network.weights(network.weight_shapes)
    module = ops.Module.create()
    with module:
        for each in functions:
            emit_function(each, arrays.__getitem__, dtype)
    module.verify()
    return module


def _checked_bytes(functions: dict[str, StageFunction], path: Path) -> int:
    """Bytes of the constants that an asset holds, if its functions are those that were asked for."""
    summary = ops.AIModelAsset.load(path).summary()
    found = set() if summary is None else set(summary.function_names)
    if found != functions.keys():
        raise AssetError(f"{path}: has functions {sorted(found)}, asked for were {sorted(functions)}")
    return sum(np.dtype(kind.lower()).itemsize * count for kind, count in summary.storage_types)
