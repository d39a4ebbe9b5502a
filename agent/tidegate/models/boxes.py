"""From a detector's raw output to boxes: candidates above the score, then non-maximum suppression. Pure.

Layouts: ultralytics (v8, v5), github.com/Megvii-BaseDetection/YOLOX (utils/demo_utils.py), SSD (arXiv:1512.02325).
Most candidates fall at the first look, at scores alone, so that thousands of them cost little.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.models.task import STRIDES, Detector, HeadLayout, grids_of

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

MOST_CANDIDATES = 1000
"""Of a sample, the best, that overlaps are looked for among."""
MOST_BOXES = 300
"""Of a sample, as ultralytics gives at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is found in one sample, best first: `boxes` (n, 4) as left, top, right, bottom in pixels of the input,
    within it; `scores` (n,) in 0..1; `labels` (n,) as numbers of classes."""

    boxes: Floats
    scores: Floats
    labels: Indices


def found_in(detector: Detector, outputs: Floats) -> list[Found]:
    """What is found in each sample; `outputs` are (samples, numbers of one output)."""
    candidates = _READERS[detector.layout]
    # What is no number is above no score.
    with np.errstate(invalid="ignore", over="ignore"):
        return [_kept(detector, candidates(detector, sample)) for sample in outputs]


def scores_in(detector: Detector, outputs: Floats) -> Floats:
    """All scores of classes and objectness as they stand in outputs (samples, numbers of one)."""
    n, candidates = len(outputs), detector.candidates
    match detector.layout:
        case HeadLayout.YOLOV8:
            return outputs.reshape(n, -1, candidates)[:, 4:]
        case HeadLayout.SSD:
            return outputs[:, 4 * candidates :]
        case HeadLayout.ANCHORED:
            # Logits behind each other by grid: their own scale is that of scores too.
            return _sigmoid(outputs)
        case _:
            return outputs.reshape(n, candidates, -1)[:, :, 4:]


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """IoU of each box (n, 4) with each of the others (m, 4): (n, m)."""
    least = np.maximum(boxes[:, None, :2], others[None, :, :2])
    most = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(most - least, 0, None).prod(2)
    whole = _areas(boxes)[:, None] + _areas(others)[None] - shared
    return np.asarray(shared / np.maximum(whole, np.finfo(np.float32).tiny), np.float32)


def _areas(boxes: Floats) -> Floats:
    sizes = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sizes.prod(1), np.float32)


def _kept(detector: Detector, candidates: Found) -> Found:
    """Without those that a better one of the same class covers."""
    order = np.argsort(-candidates.scores, kind="stable")[:MOST_CANDIDATES]
    height, width = detector.input_size
    boxes = np.clip(candidates.boxes[order], 0, np.array((width, height, width, height), np.float32))
    is_box = np.isfinite(boxes).all(1)
    order, boxes = order[is_box], boxes[is_box]
    labels = candidates.labels[order]
    covers = (overlaps(boxes, boxes) > detector.overlap) & (labels[:, None] == labels[None])
    left = np.ones(len(order), np.bool_)
    kept = []
    for index in range(len(order)):
        if left[index]:
            kept.append(index)
            left &= ~covers[index]
    kept = kept[:MOST_BOXES]
    return Found(boxes[kept], candidates.scores[order][kept], labels[kept])


def _found(centres: Floats, sizes: Floats, scores: Floats, labels: Indices) -> Found:
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
    return Found(boxes.astype(np.float32), scores.astype(np.float32), labels)


def _of_yolov8(detector: Detector, output: Floats) -> Found:
    head = output.reshape(4 + detector.classes, detector.candidates)
    best = head[4:].max(0)
    chosen = np.flatnonzero(best >= detector.score)
    box = head[:4, chosen].T
    return _found(box[:, :2], box[:, 2:], best[chosen], head[4:, chosen].argmax(0))


def _of_yolov5(detector: Detector, output: Floats) -> Found:
    box, scores, labels, _ = _with_objectness(detector, output.reshape(detector.candidates, -1))
    return _found(box[:, :2], box[:, 2:], scores, labels)


def _of_yolox(detector: Detector, output: Floats) -> Found:
    box, scores, labels, chosen = _with_objectness(detector, output.reshape(detector.candidates, -1))
    cells, strides = (each[chosen] for each in _cells(detector))
    return _found((box[:, :2] + cells) * strides, np.exp(box[:, 2:]) * strides, scores, labels)


def _of_anchored(detector: Detector, output: Floats) -> Found:
    """As YOLOv5's Detect decodes it: two sigmoids less a half for centres, twice the sigmoid squared for sizes."""
    grids = []
    start = 0
    for height, width in grids_of(detector.input_size):
        size = 3 * (5 + detector.classes) * height * width
        part = output[start : start + size].reshape(3, 5 + detector.classes, height * width)
        grids.append(part.transpose(0, 2, 1).reshape(-1, 5 + detector.classes))
        start += size
    head = np.concatenate(grids)
    # The sigmoid of all of it would cost more than the rest.
    likely = np.flatnonzero(_sigmoid(head[:, 4]) >= detector.score)
    box, scores, labels, chosen = _with_objectness(detector, _sigmoid(head[likely]))
    cells, strides = (each[likely][chosen] for each in _cells(detector, anchors=3))
    anchors = _anchors(detector)[likely][chosen]
    centres, sizes = (box[:, :2] * 2 - 0.5 + cells) * strides, (box[:, 2:] * 2) ** 2 * anchors
    return _found(centres, sizes, scores, labels)


def _of_ssd(detector: Detector, output: Floats) -> Found:
    corners = output[: 4 * detector.candidates].reshape(-1, 4)
    scores = output[4 * detector.candidates :].reshape(detector.candidates, -1)[:, 1:]
    best = scores.max(1)
    chosen = np.flatnonzero(best >= detector.score)
    height, width = detector.input_size
    boxes = corners[chosen] * np.array((width, height, width, height), np.float32)
    return Found(boxes, best[chosen], scores[chosen].argmax(1))


def _with_objectness(detector: Detector, head: Floats) -> tuple[Floats, Floats, Indices, Indices]:
    """Of (candidates, 5 + classes): boxes as they stand, scores, labels and places of those above the score."""
    likely = np.flatnonzero(head[:, 4] >= detector.score)
    rows = head[likely]
    scores = rows[:, 4] * rows[:, 5:].max(1)
    chosen = scores >= detector.score
    rows = rows[chosen]
    return rows[:, :4], scores[chosen], rows[:, 5:].argmax(1), likely[chosen]


_READERS: Mapping[HeadLayout, Callable[[Detector, Floats], Found]] = {
    HeadLayout.YOLOV8: _of_yolov8,
    HeadLayout.YOLOV5: _of_yolov5,
    HeadLayout.YOLOX: _of_yolox,
    HeadLayout.ANCHORED: _of_anchored,
    HeadLayout.SSD: _of_ssd,
}


def _cells(detector: Detector, anchors: int = 1) -> Iterator[Floats]:
    """Of every candidate the cell (n, 2) as column and row, and the pixels per cell (n, 1)."""
    grids = grids_of(detector.input_size)
    cells = [np.indices(grid).reshape(2, -1)[::-1].T for grid in grids]
    yield np.concatenate([np.tile(each, (anchors, 1)) for each in cells]).astype(np.float32)
    counts = [anchors * height * width for height, width in grids]
    yield np.repeat(np.array(STRIDES, np.float32), counts)[:, None]


def _anchors(detector: Detector) -> Floats:
    sizes = np.array(detector.anchors, np.float32)
    counts = np.repeat([height * width for height, width in grids_of(detector.input_size)], 3)
    return np.repeat(sizes, counts, axis=0)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)
