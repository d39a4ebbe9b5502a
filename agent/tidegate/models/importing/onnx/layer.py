"""One ONNX node as a torch module, and how it is called."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tidegate.models.importing.onnx.call import Call, Operator, Value
from tidegate.models.importing.onnx.node import OnnxNode
from tidegate.models.importing.onnx.operators import ON_SIZES, ON_TENSORS

_PLACES = ("input", "weight", "bias")


class OnnxLayer(nn.Module):
    """One node; constants among its inputs are its buffers."""

    def __init__(
        self, node: OnnxNode, opset: int, known: Mapping[int, npt.NDArray[Any]], one_sample: bool
    ) -> None:
        super().__init__()
        self.node = node
        self._opset = opset
        self._known = known
        self._one_sample = one_sample
        for place, array in known.items():
            if array.dtype.kind in "fb":
                self.register_buffer(_buffer(place), torch.from_numpy(np.array(array)))

    def forward(self, *values: Value) -> tuple[Any, ...]:
        """Of the inputs that aren't constants, in order, to the node's outputs."""
        given = iter(values)
        inputs = [
            None if not name else self._constant(place) if place in self._known else next(given)
            for place, name in enumerate(self.node.inputs)
        ]
        call = Call(
            self.node.operator,
            self._opset,
            inputs,
            self.node.attributes,
            # Never empty, so that an operator can tell a trace from what is computed beforehand.
            {-1: np.empty(0), **self._known},
            sum(bool(name) for name in self.node.outputs),
            self._one_sample,
        )
        return called(call)

    def _constant(self, place: int) -> Value:
        array = self._known[place]
        if array.dtype.kind in "fb":
            buffer: Tensor = getattr(self, _buffer(place))
            return buffer
        return array


def called(call: Call) -> tuple[Any, ...]:
    """The operator's outputs: on whole numbers alone by the arithmetic of shapes, else by torch."""
    if _is_of_sizes(call):
        call = replace(call, inputs=[call.known.get(place, value) for place, value in enumerate(call.inputs)])
        operator: Operator = ON_SIZES[call.operator]
    else:
        operator = ON_TENSORS[call.operator]
    results = operator(call)
    return tuple(results) if isinstance(results, tuple | list) else (results,)


def _is_of_sizes(call: Call) -> bool:
    """Whether it computes with sizes: nothing that it reads is a tensor, but for known numbers."""
    if not call.known or call.operator not in ON_SIZES:
        return False
    return all(
        not isinstance(value, Tensor) or (place in call.known and call.known[place].ndim < 2)
        for place, value in enumerate(call.inputs)
        if value is not None
    )


def _buffer(place: int) -> str:
    """What a constant is called in its layer: as torch's layers call theirs."""
    return _PLACES[place] if place < len(_PLACES) and place > 0 else f"input_{place}"


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
