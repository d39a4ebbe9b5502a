"""A comparison comes back from the ladder file as it was, and keys stay out that earlier releases don't know."""

import pytest

from tidegate.models.bundle.ladder_file import ComparisonModel
from tidegate.models.ladder import Compared, Comparison
from tidegate.models.task import ANCHORS, Detector, HeadLayout, LabelMap

DETECTOR = Detector(HeadLayout.YOLOV8, 2, 21, (32, 32))
RAW = Detector(HeadLayout.ANCHORED, 2, 63, (32, 32), 0.3, 0.6, 0.7, ANCHORS)


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison(),
        Comparison(Compared.COSINE, 0.05),
        Comparison(Compared.BOXES, 0.5, DETECTOR),
        Comparison(Compared.BOXES, 0.5, RAW),
        Comparison(Compared.PIXELS, 0.02, label_map=LabelMap(21, True)),
        Comparison(Compared.WINDOWS, 0.0, label_map=LabelMap(8, False, 0.5)),
        Comparison(Compared.TEXT, 0.1, label_map=LabelMap(8, False, blank=7)),
    ],
)
def test_a_comparison_comes_back(comparison: Comparison) -> None:
    text = ComparisonModel.model_validate(comparison, from_attributes=True).model_dump_json()
    assert ComparisonModel.model_validate_json(text).comparison() == comparison


def test_kinds_that_were_there_before_keep_their_keys() -> None:
    assert ComparisonModel(kind=Compared.BEST_CLASS).model_dump() == {"kind": "best_class", "bound": None}
    windows = Comparison(Compared.WINDOWS, 0.0, label_map=LabelMap(8, False))
    written = ComparisonModel.model_validate(windows, from_attributes=True).model_dump()
    assert written["label_map"] == {"classes": 8, "classes_first": False, "threshold": None}


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "boxes", "bound": 0.5}',
        '{"kind": "pixels", "bound": 0.5}',
        '{"kind": "cosine", "bound": 0.5, "label_map": {"classes": 2, "classes_first": true}}',
        '{"kind": "windows", "bound": 0, "label_map": {"classes": 1, "classes_first": false}}',
        '{"kind": "text", "bound": 0, "label_map": {"classes": 8, "classes_first": false}}',
        '{"kind": "windows", "bound": 0, "label_map": {"classes": 8, "classes_first": false, "blank": 0}}',
        '{"kind": "text", "bound": 0, "label_map": {"classes": 8, "classes_first": false, "blank": 8}}',
    ],
)
def test_a_kind_without_what_it_needs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"comparison by|needs a threshold|blank 8"):
        ComparisonModel.model_validate_json(text).comparison()
