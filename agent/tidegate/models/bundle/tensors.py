"""Reading the tensors of an opened bundle; each file must still be the one whose hash was checked then."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from tidegate.models.bundle.evidence import Canaries, Raw, Samples
from tidegate.models.bundle.manifest import CANARIES, SAMPLES, InputSpec
from tidegate.models.errors import BundleError
from tidegate.models.ladder import Comparison
from tidegate.models.network import Shape, WeightArray

_T = TypeVar("_T", bound=np.generic)


def read_weights(path: Path, sha256: str, names: Iterable[str]) -> Mapping[str, WeightArray]:
    """The named fp32 master weights, read-only. Raises BundleError when the file has changed since."""
    arrays = _tensors(path, sha256)
    return {name: arrays[name].view(np.float32) for name in names}


def read_canaries(
    path: Path, sha256: str, shape: Shape, outputs_per_input: int, points: Sequence[str], comparison: Comparison
) -> Canaries:
    """Inputs of that shape with their expected answers. Raises BundleError when they don't fit the model."""
    arrays = _tensors(path, sha256)
    inputs = _expect(arrays, "inputs", (None, *shape), np.float32, CANARIES)
    count = len(inputs)
    outputs = _expect(arrays, "outputs", (count, outputs_per_input), np.float32, CANARIES)
    top1 = _expect(arrays, "top1", (len(points), count), np.int64, CANARIES)
    return Canaries(inputs, outputs, dict(zip(points, top1, strict=True)), comparison)


def read_samples(path: Path, sha256: str, spec: InputSpec) -> Samples:
    """The report-only inputs with labels. Raises BundleError when they don't fit the model."""
    arrays = _tensors(path, sha256)
    floats = "inputs" in arrays and arrays["inputs"].dtype == np.float32
    shape = (None, *spec.shape)
    raw: Raw = (
        _expect(arrays, "inputs", shape, np.float32, SAMPLES)
        if floats
        else _expect(arrays, "inputs", shape, np.uint8, SAMPLES)
    )
    labels = _expect(arrays, "labels", (len(raw),), np.int64, SAMPLES) if "labels" in arrays else None
    return Samples(raw, labels, spec.scale)


def _tensors(path: Path, sha256: str) -> dict[str, npt.NDArray[np.generic]]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError(f"{path}: changed since the bundle was opened")
    return load(data)


def _expect(
    arrays: Mapping[str, npt.NDArray[np.generic]],
    name: str,
    shape: tuple[int | None, ...],
    dtype: type[_T],
    file: str,
) -> npt.NDArray[_T]:
    array = arrays.get(name)
    if array is None:
        raise BundleError(f"{file}: has no tensor {name!r}, found {sorted(arrays)}")
    fits = len(array.shape) == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise BundleError(
            f"{file}: {name} is {array.dtype} {array.shape}, expected {dtype.__name__} {shape} (None: any size)"
        )
    return array.view(dtype)
