"""The networks of `tidegate bench engine` at full size, exported for `store`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from tidegate.calibration.fit.min_max_observer import MinMaxObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.models.bundle.graph_file import SegmentModel
from tidegate.models.importing.export_network import export_network
from tidegate.models.network import TrainedNetwork
from tidegate_bench.engine.store import RANGES, inputs_for
from tidegate_bench.zoo.catalog import ZOO
from tidegate_bench.zoo.encoder import encoder_6
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.segmented import Segmented

IMAGE = (3, 224, 224)


@dataclass(frozen=True, slots=True)
class Subject:
    """A network and the shape of one input; its weights are random, as only time and memory are measured."""

    make: Callable[[], Segmented]
    shape: tuple[int, ...]


SUBJECTS: Mapping[str, Subject] = {
    "resnet18": Subject(ZOO["resnet18"].full, IMAGE),
    "resnet50": Subject(ZOO["resnet50"].full, IMAGE),
    "mobilenet_v2": Subject(ZOO["mobilenet_v2"].full, IMAGE),
    "vgg16": Subject(ZOO["vgg16"].full, IMAGE),
    "encoder_6": Subject(encoder_6, (128, 384)),
}


def keep_network(name: str, directory: Path) -> None:
    """Export one of the subjects into a directory."""
    torch.manual_seed(0)
    subject = SUBJECTS[name]
    net = subject.make()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            # The usual start of training: activations keep their size, as a trained net's do.
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    network = export_network(inference_segments(net), torch.zeros(2, *subject.shape))
    write_network(network, directory)


def write_network(network: TrainedNetwork, directory: Path) -> None:
    """A network in the form that `store` opens, with the ranges that its values have on `inputs_for` it."""
    directory.mkdir(parents=True, exist_ok=True)
    segments = [SegmentModel.of(segment).model_dump(mode="json") for segment in network.segments]
    (directory / "segments.json").write_text(json.dumps(segments))
    save_file(
        {key: np.ascontiguousarray(array) for key, array in network.arrays.items()},
        directory / "weights.safetensors",
    )
    ranges = MinMaxObserver(network, inputs_for(network)).ranges(KnobSettings())
    (directory / RANGES).write_text(json.dumps(ranges))
