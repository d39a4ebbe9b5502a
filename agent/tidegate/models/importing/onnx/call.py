"""One call of an ONNX operator: what it reads, and how its arguments are understood in every opset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Sizes: TypeAlias = npt.NDArray[np.object_]
"""Whole numbers that come of a value's shape; the number of samples among them is symbolic in a trace."""

Value = Tensor | Sizes


class Unsupported(Exception):  # noqa: N818 - an answer, which the module turns into an error that names the node
    """What an operator can't be taken with: a reason, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One node with the values that it reads; None for an input that is left out."""

    operator: str
    opset: int
    inputs: Sequence[Value | None]
    attributes: Mapping[str, Any]
    known: Mapping[int, npt.NDArray[Any]] = field(default_factory=dict)
    """By place, the values of inputs that don't depend on the network's: a trace hides those of their tensors."""
    outputs: int = 1
    one_sample: bool = False
    """Whether the file fixes the number of samples to 1, so that a size of 1 in front may stand for it."""

    def tensor(self, place: int) -> Tensor:
        """An input as a tensor. Raises Unsupported where it is missing."""
        value = self.value(place)
        return value if isinstance(value, Tensor) else torch.tensor(value.tolist())

    def tensors(self) -> list[Tensor]:
        """All inputs as tensors."""
        return [self.tensor(place) for place in range(len(self.inputs))]

    def operand(self, place: int) -> Tensor | float:
        """An input of arithmetic: a number where it is a single known one."""
        known = self.known.get(place)
        is_number = known is not None and known.size == 1 and known.dtype.kind == "f"
        return float(known.reshape(-1)[0]) if known is not None and is_number else self.tensor(place)

    def value(self, place: int) -> Value:
        """An input as it is. Raises Unsupported where it is missing."""
        found = self.optional(place)
        if found is None:
            raise Unsupported(f"input {place} is missing")
        return found

    def optional(self, place: int) -> Value | None:
        """An input, or None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def maybe(self, place: int) -> Tensor | None:
        """An input as a tensor, or None where it is left out."""
        return None if self.optional(place) is None else self.tensor(place)

    def whole(self, place: int) -> list[Any]:
        """An input as whole numbers, the number of samples perhaps among them."""
        value = self.known[place] if place in self.known else self.value(place)
        if isinstance(value, Tensor) and self.known:
            raise Unsupported("takes a size or an index that depends on the input's values; graphs have none")
        return list(np.atleast_1d(as_sizes(value)))

    def numbers(self, place: int) -> list[float]:
        """An input as numbers."""
        return [float(each) for each in self.whole(place)]

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, default)

    def whole_or_attribute(self, place: int, name: str) -> list[Any] | None:
        """Whole numbers that older opsets have as an attribute and newer ones as an input."""
        if name in self.attributes:
            return list(self.attributes[name])
        return None if self.optional(place) is None else self.whole(place)


Operator = Callable[[Call], Any]
"""Gives one value, or a tuple of them. Raises Unsupported."""


def as_sizes(values: object) -> Sizes:
    """Whole numbers, symbolic ones too, as an array."""
    if isinstance(values, Tensor | np.ndarray):
        values = values.tolist()
    given = np.asarray(values, object)
    found = np.empty(given.shape, object)
    found[...] = given
    return found
