"""Opening what `networks` keeps, without torch: contestants that need none must not load it."""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

from tidegate.engines.engine import Array
from tidegate.models.bundle.graph_file import SegmentModel
from tidegate.models.bundle.safetensors_header import tensor_places
from tidegate.models.ladder import Ranges
from tidegate.models.network import TrainedNetwork

SEGMENTS = "segments.json"
WEIGHTS = "weights.safetensors"
RANGES = "ranges.json"
FP32_ONNX = "fp32.onnx"
CALIBRATION = "calibration.npy"
INPUTS = "inputs.npy"


def open_network(directory: Path) -> TrainedNetwork:
    """A kept network, its weights mapped and not read."""
    documents = json.loads((directory / SEGMENTS).read_text())
    segments = tuple(SegmentModel.model_validate(document).segment() for document in documents)
    path = directory / WEIGHTS
    with safe_open(path, framework="numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no mapping
    mapped = np.memmap(path, np.uint8, "r")
    arrays = {
        name: mapped[place.start : place.stop].view(np.float32).reshape(shapes[name])
        for name, place in tensor_places(path).items()
    }
    return TrainedNetwork(segments, arrays)


def open_ranges(directory: Path) -> Ranges:
    """What a kept network's values hold on the calibration inputs, for points in int8."""
    ranges: dict[str, tuple[float, float, float]] = json.loads((directory / RANGES).read_text())
    return {name: (low, high, error) for name, (low, high, error) in ranges.items()}


def open_calibration(directory: Path) -> Array:
    """What every peer is calibrated on: (n, *input shape)."""
    inputs: Array = np.load(directory / CALIBRATION)
    return inputs


def open_inputs(directory: Path) -> Array:
    """What every peer answers: (n, *input shape)."""
    inputs: Array = np.load(directory / INPUTS)
    return inputs
