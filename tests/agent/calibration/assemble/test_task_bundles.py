"""Bundles of detectors and of masks, from a raw head to canaries, certificates and what a worker serves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.api.certifying import certify
from tidegate.calibration.assemble.model_bundle import BuildError, Request, build_bundle
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.certify.task_risk import TaskOptions
from tidegate.calibration.data.datasets import Dataset
from tidegate.calibration.progress import silent
from tidegate.calibration.search.goal import Goal, Knob
from tidegate.engines.bundle_check import verify
from tidegate.engines.engine import REFERENCE
from tidegate.models.boxes import found_in
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.consistency import check_consistency
from tidegate.models.errors import BundleError
from tidegate.models.ladder import Compared, Risk
from tidegate.models.task import HeadLayout, Task
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.texts import texts_in

pytestmark = pytest.mark.long

SIDE, CELL, CELLS = 32, 8, 16
FRAMES = 400


class Block(nn.Module):
    """Changes little, so that it can be skipped."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.02 * torch.relu(self.conv(x))


class SquareDetector(nn.Module):
    """Finds red and blue squares of a cell's size: a raw head (4 + classes, cells), as YOLOv8's."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.Conv2d(3, 3, CELL, CELL, groups=3, bias=False)
        self.pool.weight.data.fill_(1 / CELL**2)
        self.blocks = nn.Sequential(Block(3), Block(3))
        column, row = np.meshgrid(np.arange(4), np.arange(4))
        centres = np.stack([column.ravel(), row.ravel()]) * CELL + CELL / 2
        boxes = np.concatenate([centres, np.full((2, CELLS), CELL)])[None]
        self.register_buffer("boxes", torch.tensor(boxes, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.blocks(self.pool(x)).flatten(2)
        scores = torch.sigmoid(20 * (seen[:, ::2] - 0.6))
        return torch.cat([self.boxes + 0 * seen[:, :1], scores], 1)


class Mask(nn.Module):
    """Where it is bright: (1, h, w), behind a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(3), Block(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(20 * (self.blocks(x).mean(1, keepdim=True) - 0.5))


def frames(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 of up to two squares, and these as objects."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 60, (n, 3, SIDE, SIDE)).astype(np.uint8)
    objects = np.full((n, 2, 5), -1, np.float32)
    for picture, known in zip(pictures, objects, strict=True):
        for place, cell in enumerate(rng.choice(CELLS, rng.integers(0, 3), replace=False)):
            label, (row, column) = rng.integers(2), divmod(int(cell), 4)
            left, top = column * CELL, row * CELL
            picture[2 * label, top : top + CELL, left : left + CELL] = rng.integers(180, 256)
            known[place] = (label, left, top, left + CELL, top + CELL)
    return pictures, objects


PLAN = Plan.towards(Goal.BALANCED, frozenset({Knob.BLOCKS}), engines=(REFERENCE,))


def built(model: nn.Module, directory: Path, task: TaskOptions, objects: np.ndarray | None = None) -> Bundle:
    torch.manual_seed(0)
    data = Dataset("frames", frames(FRAMES)[0], None, None, 1 / 255, objects=objects)
    build_bundle(Request(model, data, directory / "bundle", plan=PLAN, task=task), silent)
    return open_bundle(directory / "bundle")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(
        SquareDetector(), tmp_path_factory.mktemp("detector"), TaskOptions(Task.DETECT, classes=("red", "blue"))
    )


def test_a_detector_gets_a_ladder_certified_by_its_boxes(detector: Bundle) -> None:
    assert detector.task is Task.DETECT
    assert detector.labels == ("red", "blue")
    assert detector.calibration.comparison.kind is Compared.BOXES
    assert "an object that either model finds" in detector.calibration.failure
    cheapest = detector.ladder.cheapest
    assert cheapest.certificate is not None
    assert cheapest.certificate.risk is Risk.DISAGREEMENT
    assert cheapest.figures.flops_ratio < 1
    assert not any(point.exits or point.resolution for point in detector.ladder.points)
    assert [check for check in verify(detector.path) if not check.ok] == []


def test_canaries_hold_objects_and_tell_a_point_that_finds_none(detector: Bundle) -> None:
    canaries, settings = detector.canaries(), detector.calibration.comparison.detector
    assert settings is not None
    assert settings.layout is HeadLayout.YOLOV8
    assert all(len(found.labels) for found in found_in(settings, canaries.outputs))
    assert canaries.agreement("full", canaries.outputs) == 1
    assert canaries.agreement("full", np.zeros_like(canaries.outputs)) == 0
    assert canaries.is_answered("full", 0, canaries.outputs[0])
    assert not canaries.is_answered("full", 0, np.zeros_like(canaries.outputs[0]))


def test_a_detector_serves_boxes_beside_its_raw_output(detector: Bundle) -> None:
    told = [(each.name, each.shape) for each in Interface.of(detector).outputs]
    assert told == [("logits", (6 * CELLS,)), ("boxes", (-1, 4)), ("scores", (-1,)), ("labels", (-1,))]


def test_a_detector_is_certified_again_on_other_frames(detector: Bundle) -> None:
    found = certify(detector, frames(FRAMES)[0][:, :, ::-1].copy(), engine=REFERENCE)
    held = found.certificates[detector.ladder.cheapest.name]
    assert held is not None
    assert held.risk is Risk.DISAGREEMENT
    assert len(found.to_label) == 0


def test_with_objects_a_detector_is_certified_again_by_what_is_lost(detector: Bundle) -> None:
    pictures, objects = frames(FRAMES)
    found = certify(detector, pictures, objects=objects, engine=REFERENCE)
    held = found.certificates[detector.ladder.cheapest.name]
    assert held is not None
    assert held.risk is Risk.NEWLY_WRONG
    with pytest.raises(ValueError, match="most, 5"):
        certify(detector, pictures, objects=objects[:, 0], engine=REFERENCE)


def test_with_labelled_objects_only_lost_ones_count(tmp_path: Path) -> None:
    bundle = built(SquareDetector(), tmp_path, TaskOptions(Task.DETECT), frames(FRAMES)[1])
    assert bundle.labels == ("0", "1")
    assert "a labelled object" in bundle.calibration.failure
    certificate = bundle.ladder.cheapest.certificate
    assert certificate is not None
    assert certificate.risk is Risk.NEWLY_WRONG
    assert bundle.ladder.full.figures.accuracy is None
    assert bundle.ladder.cheapest.figures.newly_wrong is not None


def test_a_mask_gets_a_ladder_certified_by_its_pixels(tmp_path: Path) -> None:
    bundle = built(Mask(), tmp_path, TaskOptions(Task.SEGMENT, bound=0.05))
    assert (bundle.task, len(bundle.labels), bundle.outputs) == (Task.SEGMENT, 1, SIDE * SIDE)
    assert bundle.ladder.cheapest.certificate is not None
    assert [check for check in verify(bundle.path) if not check.ok] == []
    assert Interface.of(bundle).values == SIDE * SIDE


class Reader(nn.Module):
    """A letter for each of four columns, red or blue, and in the last class none where it is dark."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(3), Block(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.blocks(nn.functional.avg_pool2d(x, (SIDE, CELL))).flatten(2)
        none = 0.25 + 0 * columns[:, :1]
        return torch.cat([columns[:, ::2], none], 1).transpose(1, 2)


def test_a_reader_gets_a_ladder_certified_by_its_text(tmp_path: Path) -> None:
    bundle = built(Reader(), tmp_path, TaskOptions(Task.TEXT, classes=("r", "b"), blank=-1))
    assert (bundle.task, bundle.labels, bundle.outputs) == (Task.TEXT, ("r", "b", ""), 12)
    assert bundle.calibration.failure == "another text is read than by the full model"
    assert bundle.ladder.cheapest.certificate is not None
    assert bundle.ladder.cheapest.figures.flops_ratio < 1
    assert [check for check in verify(bundle.path) if not check.ok] == []
    canaries, reader = bundle.canaries(), Interface.of(bundle).reader
    assert reader is not None
    assert any(texts_in(reader, canaries.outputs))
    assert canaries.agreement("full", canaries.outputs) == 1
    again = certify(bundle, frames(FRAMES)[0][:, :, ::-1].copy(), engine=REFERENCE)
    assert again.certificates[bundle.ladder.cheapest.name] is not None


def test_objects_without_a_detector_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="belong to --task detect"):
        built(Mask(), tmp_path, TaskOptions(Task.SEGMENT), frames(FRAMES)[1])


def test_a_ladder_that_reads_other_boxes_than_the_output_has_is_refused(detector: Bundle) -> None:

    settings = detector.calibration.comparison.detector
    assert settings is not None
    other = replace(detector.calibration.comparison, detector=replace(settings, candidates=CELLS + 1))
    with pytest.raises(BundleError, match="doesn't hold what"):
        check_consistency(replace(detector, calibration=replace(detector.calibration, comparison=other)))
