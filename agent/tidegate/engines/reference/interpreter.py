"""Runs one segment's graph with torch: each allowlisted operator by its own name, nothing else."""

import operator as py_operator
from collections.abc import Mapping

import torch
from torch import Tensor

from tidegate.models.aa_relu import adapted
from tidegate.models.errors import BundleError
from tidegate.models.graph import INPUT, Argument, BatchSize, Ref, Segment, Weight
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.operators import EMBEDDING, OPERATORS, VIEW
from tidegate.models.graph.shapes import shapes_of
from tidegate.models.ladder import Activation
from tidegate.models.network import Network, Shape, all_segments
from tidegate.models.precision import Fp32Weight, StoredWeight


def _looked_up(table: Tensor, numbers: Tensor) -> Tensor:
    """Rows by their numbers, which are floats as all values are; what is no row's becomes the nearest one's."""
    return table[numbers.long().clamp(0, len(table) - 1)]


# By torch's own names, which are those of the table; nothing else ever gets here.
_FUNCTIONS = {
    **{name: py_operator.attrgetter(name)(torch.ops) for name in OPERATORS},
    # Where a view exists this gives it; attention kernels leave layouts that differ by device and have none.
    VIEW: torch.reshape,
    EMBEDDING: _looked_up,
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

    First by the operators' own shape rules, against what each node declares: a graph can ask for an absurd
    padding, and this finds it before memory is taken. Then on zeros with the real weights, because the rules don't
    look at everything (a bias of the wrong length passes them); on two samples, so that a graph that mixes them
    shows.

    Not on torch's tensors without data: their first operator imports its compiler, which takes seconds.
    """
    for segment in all_segments(network):
        by_rules = shapes_of(segment, segment.input_shape, network.weight_shapes)
        _compare(segment, {name: (1, *shape) for name, shape in by_rules.items()}, 1)
    arrays = network.weights(network.weight_shapes)
    for segment in all_segments(network):
        weights = {name: torch.tensor(arrays[name]) for name in segment.weights}
        _try(segment, weights)


def _try(segment: Segment, weights: Mapping[str, Tensor]) -> None:
    stored = {name: Fp32Weight(weight) for name, weight in weights.items()}
    samples = 2
    try:
        values = Interpreter(segment, stored).values(torch.zeros((samples, *segment.input_shape)))
    # A graph is anybody's data, and torch raises whatever its arithmetic raises on it. The first line says what
    # didn't fit.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise BundleError(f"segment {segment.name}: its operators don't fit together: {reason}") from error
    _compare(segment, {name: tuple(value.shape) for name, value in values.items()}, samples)


def _compare(segment: Segment, shapes: Mapping[str, Shape], samples: int) -> None:
    for node in segment.nodes:
        found = shapes[node.name]
        if found != (samples, *node.shape):
            raise BundleError(
                f"segment {segment.name}, node {node.name}: declares shape {node.shape} per sample, "
                f"computes {found} for {samples} samples"
            )
