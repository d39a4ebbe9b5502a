"""From a detection network's output to Frigate's rows: boxes above the score, overlaps removed. Pure.

A row is (class, score, top, left, bottom, right), the box in shares of the picture; rows without a box are 0.
A bundle says how its output is laid out; of a model that was handed over Frigate's `model_type` says it:
frigate/detectors/detector_config.py.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tidegate.models.boxes import found_in
from tidegate.models.task import Detector
from tidegate.worker.frigate.protocol import COLUMNS, DETECTIONS, Refused, Rows

Floats = npt.NDArray[np.float32]
Candidates = tuple[Floats, Floats, npt.NDArray[np.int64]]
"""Boxes (n, 4) as left, top, right, bottom in pixels; scores (n,); numbers of classes (n,)."""

SCORE = 0.4
"""From which on Frigate's own detectors report a box."""
OVERLAP = 0.4
"""IoU beyond which the less likely of two boxes of a class goes."""
MOST_CANDIDATES = 300
STRIDES = (8, 16, 32)
"""Pixels of the picture per cell of a grid."""


def rows_of(model_type: str, output: Floats, height: int, width: int) -> Rows:
    """The (20, 6) rows of one picture of this size; `output` may be flat. Raises Refused for no such head."""
    layout = _LAYOUTS.get(model_type.replace("-", "").lower() or "yologeneric")
    if layout is None:
        raise Refused(f"model_type: found {model_type[:40]!r}, allowed (in Frigate) are {', '.join(_LAYOUTS)}")
    # What is no number is above no score.
    with np.errstate(invalid="ignore", over="ignore"):
        return packed(*_kept(*layout(np.asarray(output, np.float32), height, width)), height, width)


def rows_found(detector: Detector, outputs: Floats) -> Rows:
    """The rows of one picture for a bundle's network, whose head the bundle describes."""
    (found,) = found_in(detector, outputs)
    sure = found.scores >= SCORE
    return packed(found.boxes[sure], found.scores[sure], found.labels[sure], *detector.input_size)


def packed(boxes: Floats, scores: Floats, classes: npt.NDArray[np.int64], height: int, width: int) -> Rows:
    """The best twenty boxes, in pixels and best first, as rows; the parts within the picture."""
    rows = np.zeros((DETECTIONS, COLUMNS), np.float32)
    boxes = np.clip(boxes[:DETECTIONS] / np.array((width, height, width, height), np.float32), 0.0, 1.0)
    found = rows[: len(boxes)]
    found[:, 0], found[:, 1] = classes[:DETECTIONS], scores[:DETECTIONS]
    found[:, 2:] = boxes[:, (1, 0, 3, 2)]
    return rows


def _yolo_generic(output: Floats, height: int, width: int) -> Candidates:
    """(4 + classes, candidates), or that transposed: centre, size and a score for each class; YOLOv8 and later."""
    values = np.squeeze(output)
    if values.ndim == 1:
        candidates = _cells(height, width)
        if values.size % candidates:
            raise _no_head(output, height, width)
        values = values.reshape(-1, candidates)
    if values.ndim != 2 or min(values.shape) < 5:
        raise _no_head(output, height, width)
    head = values if values.shape[0] < values.shape[1] else values.T
    best = head[4:].max(0)
    chosen = np.flatnonzero(best > SCORE)
    return _around(head[:2, chosen].T, head[2:4, chosen].T), best[chosen], head[4:, chosen].argmax(0)


def _yolox(output: Floats, height: int, width: int) -> Candidates:
    """(candidates, 5 + classes): centre in cells, logarithm of the size, objectness, scores."""
    candidates = _cells(height, width)
    if output.size % candidates or output.size // candidates < 6:
        raise _no_head(output, height, width)
    head = output.reshape(candidates, -1)
    scores = head[:, 4] * head[:, 5:].max(1)
    chosen = np.flatnonzero(scores > SCORE)
    grids = [(np.indices((height // stride, width // stride)), stride) for stride in STRIDES]
    corners = np.concatenate([each.reshape(2, -1)[::-1].T for each, _ in grids])[chosen]
    strides = np.concatenate([np.full(each[0].size, stride) for each, stride in grids])[chosen, None]
    centres = (head[chosen, :2] + corners) * strides
    sizes = np.exp(head[chosen, 2:4]) * strides
    return _around(centres, sizes), scores[chosen], head[chosen, 5:].argmax(1)


def _yolo_nas(output: Floats, height: int, width: int) -> Candidates:
    """(n, 7) of a network that removes overlaps itself: picture, corners in pixels, score, class (-1 for none)."""
    if output.size % 7:
        raise _no_head(output, height, width)
    rows = output.reshape(-1, 7)
    rows = rows[(rows[:, 6] >= 0) & (rows[:, 5] > 0)]
    return rows[:, 1:5], rows[:, 5], rows[:, 6].astype(np.int64)


_LAYOUTS: Mapping[str, Callable[[Floats, int, int], Candidates]] = {
    "yologeneric": _yolo_generic,
    "yolox": _yolox,
    "yolonas": _yolo_nas,
}


def _no_head(output: Floats, height: int, width: int) -> Refused:
    return Refused(
        f"the network's output {list(output.shape)} is no detection head of this `model.model_type` for"
        f" pictures of {width}x{height}"
    )


def _cells(height: int, width: int) -> int:
    return sum((height // stride) * (width // stride) for stride in STRIDES)


def _around(centres: Floats, sizes: Floats) -> Floats:
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], 1).astype(np.float32)


def _kept(boxes: Floats, scores: Floats, classes: npt.NDArray[np.int64]) -> Candidates:
    """Best first, without those that a better one of the same class covers."""
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    boxes, scores, classes = boxes[order], scores[order], classes[order]
    left = np.asarray(np.isfinite(boxes).all(1))
    kept: list[int] = []
    for index in range(len(order)):
        if left[index]:
            kept.append(index)
            if len(kept) == DETECTIONS:
                break
            left &= (classes != classes[index]) | (_overlaps(boxes, boxes[index]) <= OVERLAP)
    return boxes[kept], scores[kept], classes[kept]


def _overlaps(boxes: Floats, one: Floats) -> Floats:
    """IoU of each box with one."""
    least, most = np.maximum(boxes[:, :2], one[:2]), np.minimum(boxes[:, 2:], one[2:])
    shared = np.clip(most - least, 0, None).prod(1)
    whole = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) + (one[2:] - one[:2]).prod() - shared
    return np.asarray(shared / np.maximum(whole, np.finfo(np.float32).tiny), np.float32)
