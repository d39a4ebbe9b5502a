"""One frame of a stream."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array

Values = npt.NDArray[np.uint8] | Array


@dataclass(frozen=True, slots=True)
class Frame:
    """Values of the network's (channels, height, width): raw bytes, or floats as the network takes them.

    `origin` says which one it is: a file's name, a number, or what its sender calls it.
    """

    values: Values
    origin: str

    def batch(self, scale: float) -> Array:
        """As a batch of one."""
        if self.values.dtype == np.uint8:
            return np.multiply(self.values[None], np.float32(scale), dtype=np.float32)
        return np.ascontiguousarray(self.values[None], np.float32)
