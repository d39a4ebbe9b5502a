"""An asset that is loaded, and its functions. Core AI's calls are coroutines; here each is waited for.

On Linux its reference executor compiles the asset into a directory under TMPDIR, which goes when it is closed.
"""

import asyncio
import weakref
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tidegate.engines.coreai.runtime import ops, rt
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.runtime.apple_silicon import has_core_ai
from tidegate.engines.runtime.placement import CPU, GPU
from tidegate.errors import EX_UNAVAILABLE, TidegateError

T = TypeVar("T")
Arrays = Mapping[str, npt.NDArray[np.generic]]


class CoreAiError(TidegateError):
    """Core AI failed to compute a function that it had loaded."""

    exit_code = EX_UNAVAILABLE


class LoadedAsset:
    """The functions of an asset. Used by one thread at a time."""

    def __init__(self, path: Path, unit: str = CPU) -> None:
        """Raises UnsupportedPoint where Core AI refuses the asset, or the unit."""
        # Core AI ends the process over a directory that is none.
        if not ops.AIModelAsset.is_valid(path):
            raise UnsupportedPoint(f"Core AI refuses {path.name}: it is no asset")
        self._loop = _Loop()
        self._held = AsyncExitStack()
        # Its functions hold the asset, so this waits until the last of them is gone.
        weakref.finalize(self, _close, self._loop, self._held)
        try:
            opening = self._held.enter_async_context(ops.AIModelAsset.load(path).executable(_options(unit)))
            self._model = self._loop.wait_for(opening)
        # Core AI raises RuntimeError with what its compiler says.
        except RuntimeError as error:
            raise UnsupportedPoint(f"Core AI refuses {path.name}: {_first_line(error)}") from error

    def opened(self, name: str) -> "LoadedFunction":
        """A function by name. Raises UnsupportedPoint where Core AI has none, or refuses it."""
        try:
            return LoadedFunction(self, name, self._model.load_function(name))
        except (KeyError, RuntimeError) as error:
            raise UnsupportedPoint(f"Core AI refuses function {name}: {_first_line(error)}") from error

    def answer(self, function: "rt.InferenceFunction", data: Arrays) -> Arrays:
        """Outputs by name, in memory of their own."""
        given = {name: rt.NDArray(each) for name, each in data.items()}
        found = self._loop.wait_for(function(given))
        return {name: each.numpy().copy() for name, each in found.items()}


class LoadedFunction:
    """One function of an asset."""

    def __init__(self, asset: LoadedAsset, name: str, function: "rt.InferenceFunction") -> None:
        self._asset = asset
        self._name = name
        self._function = function

    def predict(self, data: Arrays) -> Arrays:
        """Outputs by name. Raises CoreAiError."""
        try:
            return self._asset.answer(self._function, data)
        except RuntimeError as error:
            raise CoreAiError(f"Core AI failed in function {self._name}: {_first_line(error)}") from error


class _Loop:
    """Where coroutines are waited for, also by who runs an event loop: the worker opens and answers in its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="core-ai")

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """What it gives or raises. A thread is begun and asked only where a loop runs in this one."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._loop.run_until_complete(work)
        return self._beside.submit(self._loop.run_until_complete, work).result()

    def close(self) -> None:
        """Wait for nothing more."""
        self.wait_for(self._loop.shutdown_default_executor())
        self._beside.shutdown()
        self._loop.close()


def _close(loop: _Loop, held: AsyncExitStack) -> None:
    loop.wait_for(held.aclose())
    loop.close()


def _options(unit: str) -> "rt.SpecializationOptions | None":
    """What asks for a unit, as far as Core AI is asked and does not choose: it may still place parts elsewhere."""
    if not has_core_ai():
        return None
    if unit == CPU:
        return rt.SpecializationOptions.cpu_only()
    kind = rt.ComputeUnitKind.gpu() if unit == GPU else rt.ComputeUnitKind.neural_engine()
    return rt.SpecializationOptions.from_preferred_compute_unit_kind(kind)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
