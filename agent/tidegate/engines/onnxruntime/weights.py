"""Where a network's fp32 weights lie: in memory, or in the bundle's file, which ONNX Runtime then maps itself."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tidegate.engines.onnxruntime.protobuf import FileSlice, TensorValue
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.manifest import WEIGHTS
from tidegate.models.bundle.safetensors_header import tensor_places
from tidegate.models.network import Network


def float_constants(network: Network, names: Iterable[str]) -> tuple[TensorValue, ...]:
    """The named weights as constants of a model."""
    names = tuple(names)
    if not isinstance(network, Bundle):
        arrays = network.weights(names)
        return tuple(TensorValue(name, arrays[name].shape, arrays[name]) for name in names)
    places = tensor_places(network.path / WEIGHTS)
    shapes: Mapping[str, tuple[int, ...]] = network.weight_shapes
    return tuple(
        TensorValue(name, shapes[name], FileSlice(WEIGHTS, places[name].start, len(places[name])))
        for name in names
    )


def weights_folder(network: Network) -> Path | None:
    """The folder that FileSlice names are relative to; None for a network in memory."""
    return network.path if isinstance(network, Bundle) else None
