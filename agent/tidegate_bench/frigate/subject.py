"""A detection network whose boxes are known: it reports every cell of a picture that is bright in a channel.

Its head is that of YOLOv8 over a picture of 32x32: (4 + 2 classes, 21 candidates), as one flat output.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tidegate.engines.onnxruntime.protobuf import (
    ElementType,
    OnnxGraph,
    OnnxNode,
    ValueInfo,
    constants_of,
    model_bytes,
)
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle.evidence import Canaries, Samples
from tidegate.models.bundle.graph_file import graphs_sha256
from tidegate.models.bundle.ladder_file import Calibration
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, weights_file, write_bundle
from tidegate.models.comparing import answers
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Certificate, Compared, Comparison, Figures, Ladder, OperatingPoint, Risk
from tidegate.models.task import Detector, HeadLayout

SIZE, CLASSES, SCALE = 32, 2, 1 / 255
STRIDES = (8, 16, 32)
CELLS = tuple(
    (row, column, stride)
    for stride in STRIDES
    for row in range(SIZE // stride)
    for column in range(SIZE // stride)
)
SMALLEST = (SIZE // STRIDES[0]) ** 2
"""Cells of 8x8 pixels, the first ones; the network looks at no larger ones."""
ALPHA, DELTA, N = 0.05, 0.05, 100
FULL, CHEAP = "full", "without-refinement"


def picture(row: int, column: int, channel: int) -> npt.NDArray[np.uint8]:
    """A dark picture as Frigate sends it, (1, h, w, c), with one bright cell of 8x8 pixels."""
    values = np.full((1, SIZE, SIZE, 3), 10, np.uint8)
    values[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8, channel] = 240
    return values


def row_of(row: int, column: int, channel: int) -> tuple[float, float, float, float, float]:
    """Class and box that belong to that picture."""
    return (channel, row / 4, column / 4, (row + 1) / 4, (column + 1) / 4)


def keep_bundle(out: Path) -> None:
    """Write it as a bundle with two points; the cheap one is declared certified, for policies to use it."""
    inputs = np.stack([picture(cell // 4, cell % 4, cell % CLASSES)[0] for cell in range(SMALLEST)])
    raw = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    floats = raw.astype(np.float32) * np.float32(SCALE)
    network = export_network([("refinement", _Refinement()), ("head", _head())], torch.from_numpy(floats[:2]))
    figures = Figures(
        n=SMALLEST,
        accuracy=None,
        newly_wrong=None,
        disagreement=0.0,
        skip_ratio=0.0,
        flops_ratio=1.0,
        latency_p50_ms=1.0,
        latency_p95_ms=1.0,
        weights_resident_bytes=1 << 20,
    )
    ladder = Ladder(
        (
            OperatingPoint(FULL, "eager", figures, Certificate(Risk.DISAGREEMENT, 0.0, DELTA, N, 0)),
            OperatingPoint(
                CHEAP,
                "eager",
                figures,
                Certificate(Risk.DISAGREEMENT, ALPHA, DELTA, N, 0),
                skip=frozenset({"refinement"}),
            ),
        )
    )
    engine = EagerEngine(network)
    outputs = {point.name: engine.prepare(point).run(floats).outputs for point in ladder.points}
    comparison = Comparison(Compared.BOXES, 0.5, Detector(HeadLayout.YOLOV8, CLASSES, len(CELLS), (SIZE, SIZE)))
    calibration = Calibration(
        weights_sha256=hashlib.sha256(weights_file(network)).hexdigest(),
        graphs_sha256=graphs_sha256(network),
        data="bright cells",
        parts={},
        failure="another box",
        comparison=comparison,
        search={},
        alphas=(ALPHA,),
        delta=DELTA,
        seed=0,
        torch=str(torch.__version__),
        measured_on="nowhere",
    )
    canaries = Canaries(
        floats,
        outputs[FULL],
        {name: answers(comparison, outputs[FULL], each) for name, each in outputs.items()},
        comparison,
    )
    write_bundle(
        out,
        Contents(
            model="cells",
            input=InputSpec("image", (3, SIZE, SIZE), SCALE),
            labels=tuple(map(str, range(CLASSES))),
            built=Provenance("tidegate bench frigate", 0, "bright cells", {}, str(torch.__version__)),
            network=network,
            ladder=ladder,
            calibration=calibration,
            canaries=canaries,
            samples=Samples(raw[:1], None, SCALE),
        ),
    )


def keep_file(out: Path, version: int = 0) -> None:
    """Write it as the .onnx file that Frigate hands over, for its pictures; each version is another."""
    with torch.no_grad():
        weight, bias = (each.numpy().copy() for each in _head().parameters())
    bias[2 * len(CELLS) - 1] += version  # the largest cell, whose score is 0
    constants = {
        "scaled": weight.T.copy() * np.float32(SCALE),
        "bias": bias,
        "head": np.array([1, -1, len(CELLS)]),
    }
    graph = OnnxGraph(
        "cells",
        inputs=[ValueInfo("images", ElementType.UINT8, (1, SIZE, SIZE, 3))],
        outputs=[ValueInfo("output0", ElementType.FLOAT, (1, 4 + CLASSES, len(CELLS)))],
        nodes=[
            OnnxNode("Transpose", ("images",), ("first",), {"perm": [0, 3, 1, 2]}),
            OnnxNode("Cast", ("first",), ("floats",), {"to": int(ElementType.FLOAT)}),
            OnnxNode("Flatten", ("floats",), ("flat",)),
            OnnxNode("MatMul", ("flat", "scaled"), ("sums",)),
            OnnxNode("Add", ("sums", "bias"), ("answers",)),
            OnnxNode("Reshape", ("answers", "head"), ("output0",)),
        ],
        constants=[*constants_of(constants)],
    )
    out.write_bytes(model_bytes(graph))


class _Refinement(nn.Module):
    """Changes next to nothing, so that it can be skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        nn.init.constant_(self.conv.weight, 1e-4)
        nn.init.zeros_(self.conv.bias if self.conv.bias is not None else self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.conv(x)
        return x + changed


def _head() -> nn.Sequential:
    """Boxes are constants, scores the mean of a cell in a channel."""
    linear = nn.Linear(3 * SIZE * SIZE, (4 + CLASSES) * len(CELLS))
    with torch.no_grad():
        linear.weight.zero_()
        assert linear.bias is not None  # noqa: S101 - it is made with one
        linear.bias.zero_()
        bias = linear.bias.view(4 + CLASSES, len(CELLS))
        weights = linear.weight.view(4 + CLASSES, len(CELLS), 3, SIZE, SIZE)
        for index, (row, column, stride) in enumerate(CELLS):
            centre = ((column + 0.5) * stride, (row + 0.5) * stride)
            bias[:4, index] = torch.tensor([*centre, float(stride), float(stride)])
            if index < SMALLEST:
                for channel in range(CLASSES):
                    cell = weights[4 + channel, index, channel]
                    cell[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride] = stride**-2
    return nn.Sequential(nn.Flatten(), linear)
