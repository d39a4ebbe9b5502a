"""Runs one segment's graph with torch: each allowlisted operator by its own name, nothing else."""

import operator as py_operator
from collections.abc import Mapping

import torch
from torch import Tensor

from tidegate.models.aa_relu import adapted
from tidegate.models.errors import BundleError
from tidegate.models.graph import INPUT, Argument, BatchSize, Ref, Segment, Weight
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.operators import OPERATORS, VIEW
from tidegate.models.ladder import Activation
from tidegate.models.network import Network, all_segments
from tidegate.models.precision import Fp32Weight, StoredWeight

# By torch's own names, which are those of the table; nothing else ever gets here.
_FUNCTIONS = {
    **{name: py_operator.attrgetter(name)(torch.ops) for name in OPERATORS},
    # Where a view exists this gives it; attention kernels leave layouts that differ by device and have none.
    VIEW: torch.reshape,
}


class Interpreter:
    """A segment bound to its stored weights; holds no state between calls."""

    def __init__(
        self,
        segment: Segment,
        weights: Mapping[str, StoredWeight],
        activations: Mapping[str, Activation] | None = None,
    ) -> None:
        """`activations` holds AA-ReLU by activation tensor, `segment.node`; others are left out."""
        self._segment = segment
        self._weights = weights
        chosen = activations or {}
        self._adapted = {
            tensor.node: (chosen[tensor.name], tensor.floor)
            for tensor in activation_tensors_of(segment)
            if tensor.name in chosen
        }

    def __call__(self, x: Tensor) -> Tensor:
        """(samples, *input shape) to (samples, *output shape), float32."""
        return self.values(x)[self._segment.nodes[-1].name]

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Every node's value by name."""
        values = {INPUT: x}
        for node in self._segment.nodes:
            args = [self._resolve(argument, values) for argument in node.args]
            kwargs = {key: self._resolve(argument, values) for key, argument in node.kwargs.items()}
            value = _FUNCTIONS[node.operator](*args, **kwargs)
            values[node.name] = adapted(value, *self._adapted[node.name]) if node.name in self._adapted else value
        return values

    def _resolve(self, argument: Argument, values: Mapping[str, Tensor]) -> object:
        match argument:
            case Ref(name):
                return values[name]
            case Weight(name):
                return self._weights[name].dequantize()
            case BatchSize():
                return len(values[INPUT])
            case tuple():
                return [self._resolve(item, values) for item in argument]
            case _:
                return argument


def check_runs(network: Network) -> None:
    """Run every segment once before any request does. Raises BundleError naming the segment and the node.

    First on tensors without data, comparing every shape with the declared one: a graph can ask for an absurd
    padding, and this finds it before memory is taken. Then on one sample of zeros with the real weights, because
    torch's shape rules don't look at everything (a bias of the wrong length passes them). That also compares the
    shapes at another number of samples: without data torch works them out in Python, which takes longer.
    """
    shapes = {name: torch.empty(shape, device="meta") for name, shape in network.weight_shapes.items()}
    for segment in all_segments(network):
        _try(segment, shapes, torch.empty((3, *segment.input_shape), device="meta"))
    arrays = network.weights(network.weight_shapes)
    for segment in all_segments(network):
        weights = {name: torch.tensor(arrays[name]) for name in segment.weights}
        _try(segment, weights, torch.zeros((1, *segment.input_shape)))


def _try(segment: Segment, weights: Mapping[str, Tensor], x: Tensor) -> None:
    stored = {name: Fp32Weight(weights[name]) for name in segment.weights}
    try:
        values = Interpreter(segment, stored).values(x)
    # A graph is anybody's data, and torch raises whatever its arithmetic raises on it (a stride of 0:
    # ZeroDivisionError). The first line says what didn't fit.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise BundleError(f"segment {segment.name}: its operators don't fit together: {reason}") from error
    for node in segment.nodes:
        found = tuple(values[node.name].shape)
        if found != (len(x), *node.shape):
            raise BundleError(
                f"segment {segment.name}, node {node.name}: declares shape {node.shape} per sample, "
                f"computes {found} for {len(x)} samples"
            )
