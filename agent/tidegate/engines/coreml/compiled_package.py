"""A package compiled by Core ML, and its functions, loaded when they are asked for.

Compiled to a path and kept, a function loads in a tenth of a second instead of fifteen to twenty.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.engines.coreml.runtime import CompiledMLModel, ComputeUnit
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.functions.pipeline import OpenFunction
from tidegate.errors import EX_UNAVAILABLE, TidegateError

MOST_LOADED = 16
"""Functions in memory at once: those of some points. The one that was used longest ago goes."""

_KEPT_INPUTS = 4
"""Core ML may still read an input when it has answered: dropped at once, it crashed (apple/coremltools#2827)."""


class PredictionError(TidegateError):
    """Core ML failed to compute a function that it had loaded."""

    exit_code = EX_UNAVAILABLE


class CompiledPackage:
    """The functions of a package on one compute unit."""

    def __init__(self, path: Path, unit: ComputeUnit, most_loaded: int = MOST_LOADED) -> None:
        """`path` is of a compiled package, `NAME.mlmodelc`."""
        self._path = path
        self._unit = unit
        self._most_loaded = most_loaded
        self._loaded: OrderedDict[str, OpenFunction] = OrderedDict()
        self._inputs: defaultdict[str, deque[Mapping[str, npt.NDArray[np.generic]]]] = defaultdict(
            lambda: deque(maxlen=_KEPT_INPUTS)
        )

    @property
    def nbytes(self) -> int:
        """Bytes on disk, which are weights but for some kilobytes."""
        return sum(file.stat().st_size for file in self._path.rglob("*") if file.is_file())

    def opened(self, name: str) -> "LoadedFunction":
        """A function by name; it is loaded when it first computes, or here by `load`."""
        return LoadedFunction(self, name)

    def load(self, name: str) -> OpenFunction:
        """A function in memory. Raises UnsupportedPoint where Core ML refuses it."""
        found = self._loaded.pop(name, None)
        if found is None:
            try:
                found = CompiledMLModel(str(self._path), self._unit, name)
            # coremltools raises bare exceptions.
            except Exception as error:
                raise UnsupportedPoint(f"Core ML refuses function {name}: {error}") from error
        self._loaded[name] = found
        while len(self._loaded) > self._most_loaded:
            gone, _ = self._loaded.popitem(last=False)
            self._inputs.pop(gone, None)
        return found

    def keep(self, name: str, data: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Hold a function's input for a few more of its answers."""
        self._inputs[name].append(data)


class LoadedFunction:
    """One function, loaded again where it had to go meanwhile."""

    def __init__(self, package: CompiledPackage, name: str) -> None:
        self._package = package
        self._name = name

    def predict(self, data: Mapping[str, npt.NDArray[np.generic]]) -> Mapping[str, npt.NDArray[np.generic]]:
        """Outputs by name. Raises PredictionError, and UnsupportedPoint where it can't be loaded again."""
        function = self._package.load(self._name)
        self._package.keep(self._name, data)
        try:
            return function.predict(data)
        except Exception as error:
            raise PredictionError(f"Core ML failed in function {self._name}: {error}") from error
