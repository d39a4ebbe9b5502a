"""Several inputs of a file as one: each flattened per sample, one behind the other, ordered by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from tidegate.models.importing.onnx.node import OnnxNode

JOINED = "tidegate/inputs"
"""What the one input is called, which no file's name for a value is."""

_BOOL = 9
"""In ONNX's TensorProto.DataType."""


@dataclass(frozen=True, slots=True)
class Part:
    """An input of the file: where it begins in the joined one, its shape per sample, and its type."""

    name: str
    first: int
    shape: tuple[int, ...]
    dtype: npt.DTypeLike

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.first + prod(self.shape)

    def of(self, joined: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
        """Its values in joined ones (samples, numbers)."""
        return joined[:, self.first : self.end].reshape(len(joined), *self.shape).astype(self.dtype)


def parts_of(shapes: Mapping[str, Sequence[int]], dtypes: Mapping[str, npt.DTypeLike]) -> tuple[Part, ...]:
    """In the order of their names."""
    found: list[Part] = []
    for name in sorted(shapes):
        found.append(Part(name, found[-1].end if found else 0, tuple(shapes[name]), dtypes[name]))
    return tuple(found)


def taking_apart(parts: Sequence[Part]) -> tuple[list[OnnxNode], dict[str, npt.NDArray[np.int64]]]:
    """Nodes that give each part its name, with their constants."""
    nodes: list[OnnxNode] = []
    constants: dict[str, npt.NDArray[np.int64]] = {f"{JOINED}/axis": np.asarray([1])}
    for part in parts:
        at = f"{JOINED}/{part.name}"
        constants |= {
            f"{at}/first": np.asarray([part.first]),
            f"{at}/end": np.asarray([part.end]),
            f"{at}/shape": np.asarray([-1, *part.shape]),
        }
        inputs = (JOINED, f"{at}/first", f"{at}/end", f"{JOINED}/axis")
        nodes.append(OnnxNode(f"{at}/cut", "Slice", inputs, (f"{at}/flat",), {}))
        is_truth = np.dtype(part.dtype) == np.bool_
        shaped = f"{at}/shaped" if is_truth else part.name
        nodes.append(OnnxNode(f"{at}/shaped", "Reshape", (f"{at}/flat", f"{at}/shape"), (shaped,), {}))
        if is_truth:
            nodes.append(OnnxNode(f"{at}/truth", "Cast", (shaped,), (part.name,), {"to": _BOOL}))
    return nodes, constants
