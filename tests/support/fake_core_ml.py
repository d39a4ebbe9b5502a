"""The calls of coremltools that need a Mac, as strict as a Mac is known to be, on interpreted packages."""

import shutil
import weakref
from pathlib import Path

import numpy as np
from coremltools import ComputeUnit
from coremltools.models.compute_device import MLComputeDevice, MLCPUComputeDevice, MLNeuralEngineComputeDevice
from coremltools.models.compute_plan import (
    MLComputePlanCost,
    MLComputePlanDeviceUsage,
    MLModelStructure,
    MLModelStructureProgram,
    MLModelStructureProgramBlock,
    MLModelStructureProgramFunction,
    MLModelStructureProgramOperation,
)

from tidegate_bench.apple.mil_interpreter import InterpretedPackage


class FakeCoreMl:
    """What was compiled and loaded. There are `compile_model`, `CompiledMLModel` and a plan's `load_from_path`."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        self.loaded: list[tuple[ComputeUnit, str]] = []
        self.refused: set[str] = set()
        self._packages: dict[str, InterpretedPackage] = {}

    def compile_model(self, model: str, destination_path: str) -> str:
        assert type(model) is str
        assert type(destination_path) is str
        assert destination_path.endswith(".mlmodelc"), "Core ML wants this ending"
        assert Path(destination_path).parent.is_dir()
        shutil.copytree(model, destination_path)
        self.compiled.append(destination_path)
        return destination_path

    def CompiledMLModel(  # noqa: N802 - coremltools' name for the class
        self, path: str, compute_units: ComputeUnit, function_name: str
    ) -> "FakeModel":
        assert type(path) is str
        assert type(compute_units) is ComputeUnit
        assert type(function_name) is str
        if function_name in self.refused:
            raise RuntimeError(f"Error compiling model: no function {function_name}")
        if path not in self._packages:
            self._packages[path] = InterpretedPackage(Path(path))
        self.loaded.append((compute_units, function_name))
        return FakeModel(self._packages[path], function_name)

    def load_from_path(self, path: str, compute_units: ComputeUnit) -> "FakePlan":
        assert type(path) is str
        assert type(compute_units) is ComputeUnit
        if not path.endswith(".mlmodelc") or not Path(path).is_dir():
            raise RuntimeError(f"Error loading compute plan: {path} is no compiled model")
        return FakePlan(InterpretedPackage(Path(path)), compute_units)


def device(kind: type[MLComputeDevice]) -> MLComputeDevice:
    """One as Core ML hands it out; nobody else can make one."""
    return kind.__new__(kind)


class FakePlan:
    """Constants are nowhere, convolutions on the Neural Engine if asked for, all else on the CPU, at one cost."""

    def __init__(self, package: InterpretedPackage, units: ComputeUnit) -> None:
        self._units = units
        functions = {
            name: MLModelStructureProgramFunction(
                [], MLModelStructureProgramBlock([], self._operations(kinds), [])
            )
            for name, kinds in package.operators().items()
        }
        self.model_structure = MLModelStructure(None, MLModelStructureProgram(functions), None)
        self._count = {
            id(operation): sum(not _is_constant(each) for each in function.block.operations)
            for function in functions.values()
            for operation in function.block.operations
        }

    @staticmethod
    def _operations(kinds: list[str]) -> list[MLModelStructureProgramOperation]:
        return [MLModelStructureProgramOperation({}, f"ios18.{kind}", [], [], None) for kind in kinds]

    def get_compute_device_usage_for_mlprogram_operation(
        self, operation: MLModelStructureProgramOperation
    ) -> MLComputePlanDeviceUsage | None:
        if _is_constant(operation):
            return None
        asked = operation.operator_name.endswith("conv") and self._units is ComputeUnit.CPU_AND_NE
        chosen = device(MLNeuralEngineComputeDevice if asked else MLCPUComputeDevice)
        return MLComputePlanDeviceUsage(chosen, [chosen])

    def get_estimated_cost_for_mlprogram_operation(
        self, operation: MLModelStructureProgramOperation
    ) -> MLComputePlanCost | None:
        return None if _is_constant(operation) else MLComputePlanCost(1 / self._count[id(operation)])


def _is_constant(operation: MLModelStructureProgramOperation) -> bool:
    return "const" in operation.operator_name


class FakeModel:
    """One function. An input that is gone when the next one comes crashes it, as it did a real one."""

    __slots__ = ("_function", "_last", "_name")

    def __init__(self, package: InterpretedPackage, name: str) -> None:
        self._function = package.opened(name)
        self._name = name
        self._last: weakref.ref[np.ndarray] | None = None

    def predict(self, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._last is not None and self._last() is None:
            raise SystemError("segmentation fault: the last input was dropped while it was read")
        if list(data) != ["x"]:
            raise RuntimeError(f"Provided key(s) {list(data)} do not match any of the model input name(s)")
        (x,) = data.values()
        if x.dtype != np.float16 or not x.flags["C_CONTIGUOUS"]:
            raise RuntimeError(f"MultiArray of {x.dtype} does not match the expected Float16")
        self._last = weakref.ref(x)
        # The interpreter keeps what it is given.
        found = self._function.predict({"x": x.copy()})
        assert all(each.dtype == np.float32 for each in found.values()), "fp16 outputs come back as fp32"
        return found
