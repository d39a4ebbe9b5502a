"""A network's int8 weights in a file of their own, mapped: a quarter of the fp32 bytes.

The codes are those of `quantize_weight`, whose high nibble is a valid int4. The file lies in the device's cache
and can be made again from the bundle at any time.
"""

import mmap
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tidegate.engines.quantization import WEIGHT_LIMIT, QuantizedWeight, as_int4, quantize_weight
from tidegate.models.ladder import Precision
from tidegate.models.network import Network
from tidegate.models.safetensors_header import tensor_places

_SCALES = "/scales"


class Int8Store:
    """Quantized weights by name; from a mapped file where one can be kept, else quantized when asked for."""

    def __init__(self, network: Network, limit: int, path: Path | None) -> None:
        """`path` must be another one for other weights or another limit."""
        self._network = network
        self._limit = limit
        self._path = path
        self._mapped: mmap.mmap | None = None
        self._places: Mapping[str, range] = {}

    def weight(self, name: str, precision: Precision = Precision.INT8) -> QuantizedWeight:
        """One weight in int8, or in int4 as int8 codes. They may be a view of the file: copy what is kept.

        What is written to them never reaches the file; torch takes no array that can't be written to.
        """
        if precision is Precision.INT8:
            return self._int8(name)
        # Nibbles are those of 8-bit codes, whatever the processor can multiply without saturating.
        eight = self._int8(name) if self._limit == WEIGHT_LIMIT else self._quantized(name, WEIGHT_LIMIT)
        return as_int4(eight)

    def _int8(self, name: str) -> QuantizedWeight:
        if self._mapped is None and not self._open():
            return self._quantized(name, self._limit)
        shape = self._network.weight_shapes[name]
        codes = np.frombuffer(self._bytes(name), np.int8).reshape(shape)
        return QuantizedWeight(codes, np.frombuffer(self._bytes(name + _SCALES), np.float32).copy())

    def _quantized(self, name: str, limit: int) -> QuantizedWeight:
        return quantize_weight(self._network.weights([name])[name], limit)

    def drop_pages(self) -> None:
        """Take the file's pages out of this process; they stay in the page cache."""
        if self._mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def _bytes(self, name: str) -> memoryview:
        assert self._mapped is not None  # noqa: S101 - by `weight`
        place = self._places[name]
        return memoryview(self._mapped)[place.start : place.stop]

    def _open(self) -> bool:
        if self._path is None:
            return False
        try:
            if not self._path.exists():
                self._make(self._path)
            with self._path.open("rb") as file:
                self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            self._places = tensor_places(self._path)
        except OSError:
            self._path = None
            return False
        return True

    def _make(self, path: Path) -> None:
        arrays = self._network.weights(self._network.weight_shapes)
        quantized = {name: quantize_weight(array, self._limit) for name, array in arrays.items() if array.ndim > 1}
        tensors = {name: weight.codes for name, weight in quantized.items()}
        scales = {name + _SCALES: weight.scales for name, weight in quantized.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        save_file({**tensors, **scales}, partial)
        partial.replace(path)
