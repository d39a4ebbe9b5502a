"""Runs one segment's graph with torch: each allowlisted operator by its own name, nothing else."""

import operator as py_operator
from collections.abc import Mapping

import torch
from torch import Tensor

from agent.models.errors import BundleError
from agent.models.graph import INPUT, OPERATORS, Argument, BatchSize, Ref, Segment, Weight
from agent.models.network import Network
from agent.models.precision import Fp32Weight, StoredWeight

# `aten.conv2d.default` is torch.ops.aten.conv2d.default. Only names of the allowlist ever get here.
_FUNCTIONS = {name: py_operator.attrgetter(name)(torch.ops) for name in OPERATORS}


class Interpreter:
    """A segment bound to its stored weights; holds no state between calls."""

    def __init__(self, segment: Segment, weights: Mapping[str, StoredWeight]) -> None:
        self._segment = segment
        self._weights = weights

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of the weights held."""
        return sum(weight.nbytes for weight in self._weights.values())

    def __call__(self, x: Tensor) -> Tensor:
        """(samples, *input shape) to (samples, *output shape), float32."""
        return self.values(x)[self._segment.nodes[-1].name]

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Every node's value by name."""
        values = {INPUT: x}
        for node in self._segment.nodes:
            args = [self._resolve(argument, values) for argument in node.args]
            kwargs = {key: self._resolve(argument, values) for key, argument in node.kwargs.items()}
            values[node.name] = _FUNCTIONS[node.operator](*args, **kwargs)
        return values

    def _resolve(self, argument: Argument, values: Mapping[str, Tensor]) -> object:
        match argument:
            case Ref(name):
                return values[name]
            case Weight(name):
                return self._weights[name].widened()
            case BatchSize():
                return len(values[INPUT])
            case tuple():
                return [self._resolve(item, values) for item in argument]
            case _:
                return argument


def check_shapes(network: Network) -> None:
    """Run the network on tensors without data and compare every shape with the declared one.

    A graph can ask for an absurd padding or multiply shapes that don't fit; this finds it before memory is
    taken. Raises BundleError naming the node.
    """
    weights: dict[str, StoredWeight] = {
        name: Fp32Weight(torch.empty(shape, device="meta")) for name, shape in network.weight_shapes.items()
    }
    for segment in network.segments:
        for samples in (1, 3):
            x = torch.empty((samples, *segment.input_shape), device="meta")
            try:
                values = Interpreter(segment, weights).values(x)
            # A graph is anybody's data, and torch's shape rules raise whatever their arithmetic raises on it
            # (a stride of 0: ZeroDivisionError). Its first line says what didn't fit.
            except Exception as error:
                reason = str(error).partition("\n")[0]
                raise BundleError(f"segment {segment.name}: its operators don't fit together: {reason}") from error
            for node in segment.nodes:
                found = tuple(values[node.name].shape)
                if found != (samples, *node.shape):
                    raise BundleError(
                        f"segment {segment.name}, node {node.name}: declares shape {node.shape} per sample, "
                        f"computes {found} for {samples} samples"
                    )
