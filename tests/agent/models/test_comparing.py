"""When an answer counts as another one: objects in frames, labels at positions, and how clear that is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.models.boxes import Found
from tidegate.models.comparing import answers, clearness, differ
from tidegate.models.ladder import Compared, Comparison
from tidegate.models.matching import lost_objects, partners, same_objects
from tidegate.models.task import Detector, HeadLayout, LabelMap, Task

DETECTOR = Detector(HeadLayout.YOLOV8, 2, 3, (64, 64))
BOXES = Comparison(Compared.BOXES, 0.5, DETECTOR)

Box = tuple[float, float, float, float, float, int]
"""Centre, sides, score and label."""
CAT, DOG = (20, 20, 16, 16, 0.9, 0), (44, 44, 20, 20, 0.8, 1)


def head(*boxes: Box) -> np.ndarray:
    """One output (1, numbers) that holds these boxes."""
    found = np.zeros((6, 3), np.float32)
    for place, (x, y, width, height, score, label) in enumerate(boxes):
        found[:4, place] = (x, y, width, height)
        found[4 + label, place] = score
    return found.reshape(1, -1)


@pytest.mark.parametrize(
    ("point", "fails"),
    [
        (head(CAT, DOG), False),
        (head(DOG, CAT), False),
        (head((22, 21, 16, 16, 0.3, 0), DOG), False),  # moved a little and less sure, but found
        (head(DOG), True),  # missed
        (head((20, 20, 16, 16, 0.24, 0), DOG), True),  # below the score from which boxes are found
        (head((20, 20, 16, 16, 0.9, 1), DOG), True),  # mislabelled
        (head((30, 20, 16, 16, 0.9, 0), DOG), True),  # somewhere else
        (head(CAT, DOG, (10, 50, 8, 8, 0.7, 0)), True),  # made up, and sure of it
        (head(CAT, DOG, (10, 50, 8, 8, 0.45, 0)), False),  # made up, but not sure
    ],
)
def test_a_frame_fails_where_an_object_has_no_counterpart(point: np.ndarray, fails: bool) -> None:
    full = head(CAT, DOG)
    assert differ(BOXES, full, point).tolist() == [fails]
    assert differ(BOXES, point, full).tolist() == [fails]
    assert answers(BOXES, full, point).tolist() == [int(fails)]
    assert (clearness(BOXES, full, point)[0] >= 0) <= (not fails)


def test_frames_with_more_objects_are_clearer_and_narrow_ones_are_not_clear() -> None:
    full = head(CAT, DOG)
    assert clearness(BOXES, full, full) > clearness(BOXES, head(CAT), head(CAT))
    nearly = head(CAT, DOG, (10, 50, 8, 8, 0.45, 0))
    assert not differ(BOXES, full, nearly)
    assert clearness(BOXES, full, nearly) < 0


def test_two_objects_never_share_a_partner() -> None:
    two = Found(
        np.array([[0, 0, 10, 10], [1, 0, 11, 10]], np.float32), np.array([0.9, 0.8], np.float32), np.zeros(2, int)
    )
    one = Found(two.boxes[:1], two.scores[:1], two.labels[:1])
    assert partners(two, one, 0.5).tolist() == [0, -1]
    assert not same_objects(two, one, 0.5, 0.5)


def test_labelled_objects_count_only_where_the_full_model_finds_them() -> None:
    objects = Found(
        np.array([[12, 12, 28, 28], [40, 0, 60, 20]], np.float32), np.ones(2, np.float32), np.zeros(2, int)
    )
    both, none = objects, Found(objects.boxes[:0], objects.scores[:0], objects.labels[:0])
    first = Found(objects.boxes[:1], objects.scores[:1], objects.labels[:1])
    assert lost_objects(objects, both, first, 0.5)
    assert not lost_objects(objects, first, both, 0.5)
    assert not lost_objects(objects, none, none, 0.5)


@given(seed=st.integers(0, 2**32 - 1))
def test_a_frame_is_what_it_is_and_failing_is_mutual(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.uniform(0, 1, (6, 6, 3)).astype(np.float32)
    frames[:, :4] *= 64
    full, point = frames[:3].reshape(3, -1), frames[3:].reshape(3, -1)
    assert not differ(BOXES, full, full).any()
    assert differ(BOXES, full, point).tolist() == differ(BOXES, point, full).tolist()


def test_pixels_with_another_label_are_counted_against_the_bound() -> None:
    pixels = Comparison(Compared.PIXELS, 0.25, label_map=LabelMap(2, True))
    full = np.array([[0, 0, 0, 0, 1, 1, 1, 1]], np.float32)
    one, two = full.copy(), full.copy()
    one[0, 0] = 2
    two[0, :2] = 2
    assert [differ(pixels, full, each)[0] for each in (full, one, two)] == [False, False, True]
    assert clearness(pixels, full, one) == pytest.approx(0)


def test_a_mask_of_one_class_is_cut_at_its_threshold() -> None:
    mask = Comparison(Compared.PIXELS, 0.25, label_map=LabelMap(1, True, 0.5))
    full = np.array([[0.9, 0.9, 0.1, 0.1]], np.float32)
    assert not differ(mask, full, full * 0.6)
    assert differ(mask, full, full * 0.5)


def test_keywords_are_told_per_window_and_below_the_threshold_there_is_none() -> None:
    windows = Comparison(Compared.WINDOWS, 0.0, label_map=LabelMap(2, False, 0.5))
    full = np.array([[0.9, 0.1, 0.3, 0.4]], np.float32)
    assert not differ(windows, full, np.array([[0.6, 0.2, 0.4, 0.3]], np.float32))
    assert differ(windows, full, np.array([[0.9, 0.1, 0.3, 0.6]], np.float32))


def test_each_comparison_names_its_task() -> None:
    assert BOXES.task is Task.DETECT
    assert Comparison().task is Task.CLASSIFY
    assert Comparison(Compared.OWN).task is None


@pytest.mark.parametrize(
    "wrong",
    [{"detector": None}, {"kind": Compared.COSINE}, {"bound": None}, {"label_map": LabelMap(2, True)}],
)
def test_comparisons_that_lack_what_they_need_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="comparison by"):
        replace(BOXES, **wrong)  # type: ignore[arg-type] # wrong on purpose


def windows(*labels: int) -> np.ndarray:
    """One output (1, windows * 3) with these labels."""
    return np.eye(3, dtype=np.float32)[list(labels)].reshape(1, -1)


BLANK_LAST = LabelMap(3, False, blank=2)


@pytest.mark.parametrize(
    ("point", "same"),
    [
        (windows(0, 2, 1, 1), True),
        (windows(0, 0, 2, 1), True),  # as CTC reads it: windows differ, the text doesn't
        (windows(2, 0, 1, 2), True),
        (windows(0, 1, 2, 1), False),  # a blank between them makes it two letters
        (windows(0, 2, 2, 2), False),
        (windows(1, 2, 1, 1), False),
    ],
)
def test_texts_are_compared_without_blanks_and_repeats(point: np.ndarray, same: bool) -> None:
    text = Comparison(Compared.TEXT, 0.0, label_map=BLANK_LAST)
    full = windows(0, 0, 1, 1)
    assert text.task is Task.TEXT
    assert differ(text, full, point).tolist() == [not same]
    assert answers(text, full, point).tolist() == [int(not same)]
    assert (clearness(text, full, point)[0] >= 0) == same


def test_a_text_may_be_so_many_edits_away_as_its_bound_allows() -> None:
    text = Comparison(Compared.TEXT, 0.5, label_map=BLANK_LAST)
    full = windows(0, 1, 2, 2)
    assert not differ(text, full, windows(0, 2, 2, 2))
    assert differ(text, full, windows(2, 2, 2, 2))
    assert differ(text, windows(2, 2, 2, 2), full)
    assert not differ(text, windows(2, 2, 2, 2), windows(2, 2, 2, 2))


def test_windows_where_nothing_is_above_the_threshold_are_blank() -> None:
    text = Comparison(Compared.TEXT, 0.0, label_map=LabelMap(2, False, 0.5, blank=0))
    assert not differ(text, np.array([[0.1, 0.9, 0.4, 0.45]]), np.array([[0.2, 0.7, 0.9, 0.0]]))
