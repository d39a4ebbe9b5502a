"""Detection heads become Frigate's rows: against boxes that are known, and against a plain loop over all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.worker.frigate.heads import OVERLAP, SCORE, rows_of
from tidegate.worker.frigate.protocol import Refused

SIZE = 64
CANDIDATES = 8 * 8 + 4 * 4 + 2 * 2


def yolo(boxes: list[tuple[float, ...]], classes: int = 3) -> np.ndarray:
    """A raw YOLOv8 head with these (centre x, centre y, width, height, score, class), the rest empty."""
    head = np.zeros((4 + classes, CANDIDATES), np.float32)
    for index, (x, y, width, height, score, label) in enumerate(boxes):
        head[:4, index] = x, y, width, height
        head[4 + int(label), index] = score
    return head


def test_a_box_is_class_score_top_left_bottom_right_in_shares() -> None:
    rows = rows_of("yologeneric", yolo([(32, 16, 32, 16, 0.9, 2)]), SIZE, SIZE)
    assert rows.shape == (20, 6)
    assert rows[0].tolist() == pytest.approx([2, 0.9, 8 / 64, 16 / 64, 24 / 64, 48 / 64])
    assert not rows[1:].any()


@pytest.mark.parametrize("shape", [(1, 7, CANDIDATES), (7, CANDIDATES), (7 * CANDIDATES,), (1, 7 * CANDIDATES)])
def test_the_same_head_in_any_shape(shape: tuple[int, ...]) -> None:
    head = yolo([(32, 16, 32, 16, 0.9, 2), (10, 50, 8, 8, 0.6, 0)])
    assert np.array_equal(rows_of("", head.reshape(shape), SIZE, SIZE), rows_of("yolo-generic", head, SIZE, SIZE))
    assert np.array_equal(rows_of("yologeneric", head.T.copy(), SIZE, SIZE), rows_of("", head, SIZE, SIZE))


def test_a_box_reaches_no_further_than_the_picture() -> None:
    rows = rows_of("yologeneric", yolo([(0, 60, 32, 32, 0.9, 0)]), SIZE, SIZE)
    assert rows[0, 2:].tolist() == pytest.approx([44 / 64, 0.0, 1.0, 16 / 64])


def test_yolox_counts_in_cells_and_logarithms() -> None:
    head = np.zeros((CANDIDATES, 5 + 2), np.float32)
    # The second cell of the third row of the finest grid, 16x24 pixels around its middle.
    head[2 * 8 + 1] = [0.5, 0.5, np.log(2), np.log(3), 0.9, 0.1, 0.8]
    rows = rows_of("yolox", head[None], SIZE, SIZE)
    assert rows[0].tolist() == pytest.approx([1, 0.72, 8 / 64, 4 / 64, 32 / 64, 20 / 64])
    assert not rows[1:].any()


def test_yolo_nas_has_removed_overlaps_itself() -> None:
    output = np.array([[0, 8, 16, 24, 32, 0.9, 4], [0, 0, 0, 64, 64, 0.5, 1], [0, 0, 0, 0, 0, 0, -1]], np.float32)
    rows = rows_of("yolonas", output, SIZE, SIZE)
    assert rows[:2].tolist() == [
        pytest.approx([4, 0.9, 0.25, 0.125, 0.5, 0.375]),
        pytest.approx([1, 0.5, 0, 0, 1, 1]),
    ]
    assert not rows[2:].any()


boxes = st.lists(
    st.tuples(
        st.floats(0, 64), st.floats(0, 64), st.floats(1, 40), st.floats(1, 40), st.floats(0, 1), st.integers(0, 2)
    ),
    max_size=40,
)


def plainly(found: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Greedy non-maximum suppression within classes, pair by pair."""
    values = [tuple(float(np.float32(part)) for part in box) for box in found]
    kept: list[tuple[float, ...]] = []
    for box in sorted((each for each in values if each[4] > SCORE), key=lambda each: -each[4]):
        if all(other[5] != box[5] or iou(other, box) <= OVERLAP for other in kept):
            kept.append(box)
    return kept[:20]


def iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    shared = 1.0
    for axis in (0, 1):
        low = max(each[axis] - each[axis + 2] / 2 for each in (one, other))
        high = min(each[axis] + each[axis + 2] / 2 for each in (one, other))
        shared *= max(0.0, high - low)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


@given(boxes)
def test_what_is_kept_is_what_a_plain_loop_keeps(found: list[tuple[float, ...]]) -> None:
    rows = rows_of("yologeneric", yolo(found), SIZE, SIZE)
    expected = plainly(found)
    scores = [box[4] for box in expected]
    # What single precision decides the other way is left out.
    near = any(abs(iou(a, b) - OVERLAP) < 1e-4 for a in found for b in found) or len(set(scores)) < len(scores)
    near |= any(abs(box[4] - SCORE) < 1e-6 for box in found)
    if not near:
        assert [(row[0], row[1]) for row in rows if row[1]] == [
            (box[5], pytest.approx(box[4], abs=1e-6)) for box in expected
        ]


@given(st.sampled_from(["yologeneric", "yolox", "yolonas"]), st.integers(0, 2**32 - 1))
def test_no_output_breaks_it(model_type: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    output = rng.choice([0, 1, -1, 0.5, 1e30, np.inf, -np.inf, np.nan], (1, 7, CANDIDATES)).astype(np.float32)
    rows = rows_of(model_type, output, SIZE, SIZE)
    assert rows.shape == (20, 6)
    assert np.isfinite(rows[:, 2:]).all()
    assert ((rows[:, 2:] >= 0) & (rows[:, 2:] <= 1)).all()


@pytest.mark.parametrize(
    ("model_type", "shape", "said"),
    [
        ("ssd", (1, 7, CANDIDATES), "found 'ssd', allowed"),
        ("yologeneric", (1, 10), r"output \[1, 10\] is no detection head"),
        ("yologeneric", (1, 3, CANDIDATES), "no detection head"),
        ("yolox", (1, 11), "no detection head"),
        ("yolonas", (1, 10), "no detection head"),
    ],
)
def test_another_networks_output_is_refused_in_words(model_type: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(Refused, match=said):
        rows_of(model_type, np.zeros(shape, np.float32), SIZE, SIZE)
