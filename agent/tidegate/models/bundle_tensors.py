"""Reading the tensors of an opened bundle; each file must still be the one whose hash was checked then."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from tidegate.models.bundle import Bundle
from tidegate.models.bundle_file import CANARIES, SAMPLES, WEIGHTS
from tidegate.models.errors import BundleError
from tidegate.models.evidence import Canaries, Raw, Samples
from tidegate.models.network import WeightArray

_T = TypeVar("_T", bound=np.generic)


def read_weights(bundle: Bundle, names: Iterable[str]) -> Mapping[str, WeightArray]:
    """The named fp32 master weights, read-only. Raises BundleError when the file has changed since."""
    arrays = _tensors(bundle, WEIGHTS)
    return {name: arrays[name].view(np.float32) for name in names}


def read_canaries(bundle: Bundle) -> Canaries:
    """Inputs with their expected answers. Raises BundleError when they don't fit the model."""
    arrays = _tensors(bundle, CANARIES)
    inputs = _expect(arrays, "inputs", (None, *bundle.input.shape), np.float32, CANARIES)
    count = len(inputs)
    outputs = _expect(arrays, "outputs", (count, len(bundle.labels)), np.float32, CANARIES)
    top1 = _expect(arrays, "top1", (len(bundle.ladder.points), count), np.int64, CANARIES)
    names = [point.name for point in bundle.ladder.points]
    return Canaries(inputs, outputs, dict(zip(names, top1, strict=True)))


def read_samples(bundle: Bundle) -> Samples:
    """The report-only inputs with labels. Raises BundleError when they don't fit the model."""
    arrays = _tensors(bundle, SAMPLES)
    floats = "inputs" in arrays and arrays["inputs"].dtype == np.float32
    shape = (None, *bundle.input.shape)
    raw: Raw = (
        _expect(arrays, "inputs", shape, np.float32, SAMPLES)
        if floats
        else _expect(arrays, "inputs", shape, np.uint8, SAMPLES)
    )
    labels = _expect(arrays, "labels", (len(raw),), np.int64, SAMPLES) if "labels" in arrays else None
    return Samples(raw, labels, bundle.input.scale)


def _tensors(bundle: Bundle, name: str) -> dict[str, npt.NDArray[np.generic]]:
    data = (bundle.path / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != bundle.hashes[name]:
        raise BundleError(f"{bundle.path / name}: changed since the bundle was opened")
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
