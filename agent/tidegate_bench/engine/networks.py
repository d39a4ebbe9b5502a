"""The networks of `tidegate bench engine` at full size, kept in the form that `store` opens."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.graph import build_graph
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.protobuf import model_bytes
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.execution import plan_execution
from tidegate.engines.plan.partitions import Partition
from tidegate.models.bundle.graph_file import SegmentModel
from tidegate.models.importing.export_network import export_network
from tidegate.models.network import TrainedNetwork
from tidegate_bench.engine.store import CALIBRATION, FP32_ONNX, INPUTS, RANGES, SEGMENTS, WEIGHTS
from tidegate_bench.zoo.catalog import ZOO
from tidegate_bench.zoo.encoder import encoder_6, vit_tiny
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.mobilenet_v3 import MobileNetV3Small
from tidegate_bench.zoo.resnet import ResNet20
from tidegate_bench.zoo.segmented import Segmented

IMAGE = (3, 224, 224)
CALIBRATION_INPUTS = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """A network and the shape of one input; its weights are random, as only time and memory are measured."""

    make: Callable[[], Segmented]
    shape: tuple[int, ...]


SUBJECTS: Mapping[str, Subject] = {
    "resnet18": Subject(ZOO["resnet18"].full, IMAGE),
    "resnet50": Subject(ZOO["resnet50"].full, IMAGE),
    "resnet20": Subject(ResNet20, (1, 28, 28)),
    "mobilenet_v2": Subject(ZOO["mobilenet_v2"].full, IMAGE),
    "mobilenet_v3_small": Subject(MobileNetV3Small, IMAGE),
    "efficientnet_b0": Subject(ZOO["efficientnet_b0"].full, IMAGE),
    "vgg16": Subject(ZOO["vgg16"].full, IMAGE),
    "encoder_6": Subject(encoder_6, (128, 384)),
    "vit_tiny": Subject(vit_tiny, IMAGE),
}


def keep_subject(name: str, directory: Path) -> None:
    """Keep one of the subjects, with the same random weights and normal inputs every time."""
    torch.manual_seed(0)
    subject = SUBJECTS[name]
    net = subject.make()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            # The usual start of training: activations keep their size, as a trained net's do.
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    network = export_network(inference_segments(net), torch.zeros(2, *subject.shape))
    normal = np.random.default_rng(0).normal(size=(CALIBRATION_INPUTS, *subject.shape)).astype(np.float32)
    keep_network(network, directory, calibration=normal, inputs=normal[:1])


def keep_network(network: TrainedNetwork, directory: Path, *, calibration: Array, inputs: Array) -> None:
    """Everything that peers start from: graphs, weights, our ranges, fp32 ONNX of any batch size, and arrays.

    `calibration` and `inputs` are (n, *input shape), float32: what int8 is calibrated on, what peers answer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    segments = [SegmentModel.of(segment).model_dump(mode="json") for segment in network.segments]
    (directory / SEGMENTS).write_text(json.dumps(segments))
    arrays = {key: np.ascontiguousarray(array) for key, array in network.arrays.items()}
    save_file(arrays, directory / WEIGHTS)
    (directory / RANGES).write_text(json.dumps(HistogramObserver(network, calibration).ranges(KnobSettings())))
    whole = Partition(plan_execution(network, KnobSettings()))
    graph = build_graph(whole, Arithmetic(), Initializers(network))
    (directory / FP32_ONNX).write_bytes(model_bytes(graph))
    np.save(directory / CALIBRATION, calibration)
    np.save(directory / INPUTS, inputs)
