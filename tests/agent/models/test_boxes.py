"""Boxes from raw heads: every layout against the formulas of its own code, suppression against a plain loop."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.models.boxes import Found, found_in, overlaps
from tidegate.models.task import ANCHORS, STRIDES, Detector, HeadLayout, grids_of

SIZE = (64, 96)
CELLS = sum(height * width for height, width in grids_of(SIZE))
CLASSES = 3

Floats = npt.NDArray[np.float32]


def detector(layout: HeadLayout, candidates: int = CELLS) -> Detector:
    anchors = ANCHORS if layout is HeadLayout.ANCHORED else ()
    return Detector(layout, CLASSES, candidates, SIZE, score=0.3, anchors=anchors)


def placed(layout: HeadLayout, level: int, row: int, column: int, label: int) -> Floats:
    """An output with one candidate: the label at 0.9, in the middle of a cell, 20 x 12 pixels."""
    grids = grids_of(SIZE)
    before = sum(height * width for height, width in grids[:level])
    at = before + row * grids[level][1] + column
    stride = STRIDES[level]
    centre = ((column + 0.5) * stride, (row + 0.5) * stride)
    if layout is HeadLayout.YOLOV8:
        head = np.zeros((4 + CLASSES, CELLS), np.float32)
        head[:4, at] = (*centre, 20, 12)
        head[4 + label, at] = 0.9
        return head.ravel()
    if layout is HeadLayout.SSD:
        corners = np.zeros((CELLS, 4), np.float32)
        x, y = centre
        corners[at] = np.array([x - 10, y - 6, x + 10, y + 6]) / np.array([SIZE[1], SIZE[0]] * 2)
        scores = np.tile(np.array([1, 0, 0, 0], np.float32), (CELLS, 1))
        scores[at] = 0.05
        scores[at, 1 + label] = 0.9
        return np.concatenate([corners.ravel(), scores.ravel()])
    if layout is HeadLayout.ANCHORED:
        parts = [np.full((3, 5 + CLASSES, *grid), -20, np.float32) for grid in grids]
        width, height = ANCHORS[3 * level + 1]
        sides = np.sqrt(np.array([20 / width, 12 / height])) / 2
        part = parts[level][1, :, row, column]
        part[:2] = 0
        part[2:4] = np.log(sides / (1 - sides))
        part[4] = part[5 + label] = np.log(np.sqrt(0.9) / (1 - np.sqrt(0.9)))
        return np.concatenate([each.ravel() for each in parts])
    head = np.zeros((CELLS, 5 + CLASSES), np.float32)
    head[at, 4], head[at, 5 + label] = 1, 0.9
    if layout is HeadLayout.YOLOX:
        head[at, :4] = (0.5, 0.5, np.log(20 / stride), np.log(12 / stride))
    else:
        head[at, :4] = (*centre, 20, 12)
    return head.ravel()


@pytest.mark.parametrize("layout", HeadLayout)
@pytest.mark.parametrize(("level", "row", "column"), [(0, 3, 7), (1, 1, 4), (2, 1, 1)])
def test_every_layout_gives_the_same_box(layout: HeadLayout, level: int, row: int, column: int) -> None:
    head = detector(layout, 3 * CELLS if layout is HeadLayout.ANCHORED else CELLS)
    output = placed(layout, level, row, column, label=2)
    assert len(output) == head.outputs
    found, nothing = found_in(head, np.stack([output, np.full_like(output, np.nan)]))
    x, y = (column + 0.5) * STRIDES[level], (row + 0.5) * STRIDES[level]
    assert found.labels.tolist() == [2]
    assert found.scores == pytest.approx([0.9], abs=1e-4)
    assert found.boxes[0] == pytest.approx(np.clip([x - 10, y - 6, x + 10, y + 6], 0, [96, 64] * 2), abs=1e-2)
    assert len(nothing.labels) == 0


def test_what_is_no_box_is_left_out() -> None:
    output = placed(HeadLayout.YOLOX, 0, 3, 7, 1).reshape(CELLS, -1)
    output[:, 2] = np.nan
    assert len(found_in(detector(HeadLayout.YOLOX), output.reshape(1, -1))[0].labels) == 0


def slow_suppression(found: Found, overlap: float) -> list[int]:
    kept: list[int] = []
    for index in np.argsort(-found.scores, kind="stable"):
        box = found.boxes[index]
        if not any(
            found.labels[index] == found.labels[other] and one_overlap(box, found.boxes[other]) > overlap
            for other in kept
        ):
            kept.append(int(index))
    return kept


def one_overlap(a: Floats, b: Floats) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / whole)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
def test_suppression_keeps_what_a_plain_loop_keeps(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(20, 44, (count, 2)), rng.uniform(8, 30, (count, 2))
    head = np.zeros((4 + CLASSES, count), np.float32)
    head[:4] = np.concatenate([centres, sides], 1).T
    head[4 + rng.integers(0, CLASSES, count), np.arange(count)] = rng.uniform(0.31, 1, count)
    head = head.astype(np.float32)
    every = replace(detector(HeadLayout.YOLOV8, count), overlap=0.999999)
    (candidates,) = found_in(every, head.reshape(1, -1))
    (found,) = found_in(replace(every, overlap=0.45), head.reshape(1, -1))
    expected = slow_suppression(candidates, 0.45)
    assert found.scores.tolist() == candidates.scores[expected].tolist()
    assert np.array_equal(found.boxes, candidates.boxes[expected])


def test_overlaps_of_boxes_without_an_area_are_nothing() -> None:
    flat = np.array([[3, 3, 3, 9]], np.float32)
    assert overlaps(flat, flat).tolist() == [[0]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": 0.6}, "score at most sure"),
        ({"overlap": 1.0}, "shares above 0"),
        ({"anchors": ANCHORS}, "others none"),
        ({"layout": HeadLayout.YOLOX, "candidates": 7}, "hold 126"),
    ],
)
def test_detectors_that_contradict_themselves_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(detector(HeadLayout.YOLOV8), **change)  # type: ignore[arg-type] # wrong on purpose
