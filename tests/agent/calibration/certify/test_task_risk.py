"""What each task counts as a failure, and what is said where an output doesn't fit the task."""

import pickle

import numpy as np
import pytest

from tidegate.calibration.certify.risk import RiskError
from tidegate.calibration.certify.task_risk import TaskOptions, layout_of
from tidegate.models.ladder import Compared, Risk
from tidegate.models.task import HeadLayout, LabelMap, Task

PICTURE = (3, 320, 320)
CELLS = 40 * 40 + 20 * 20 + 10 * 10


@pytest.mark.parametrize(
    ("output", "layout"),
    [
        ((84, CELLS), HeadLayout.YOLOV8),
        ((5, CELLS), HeadLayout.YOLOV8),
        ((3 * CELLS, 85), HeadLayout.YOLOV5),
        ((3 * CELLS, 6), HeadLayout.YOLOV5),
    ],
)
def test_the_shape_tells_the_layout(output: tuple[int, int], layout: HeadLayout) -> None:
    assert layout_of(output, (320, 320)) is layout
    detector = TaskOptions(Task.DETECT).risk(output, PICTURE, False).comparison.detector
    assert detector is not None
    assert detector.layout is layout
    assert detector.outputs == output[0] * output[1]


@pytest.mark.parametrize(
    ("options", "output", "words"),
    [
        (TaskOptions(Task.DETECT), (CELLS, 85), "doesn't tell its layout"),
        (TaskOptions(Task.DETECT), (10,), "as a classifier's: --task classify"),
        (TaskOptions(Task.DETECT, layout=HeadLayout.YOLOX), (CELLS + 1, 85), "hold 2100"),
        (TaskOptions(Task.DETECT, layout=HeadLayout.SSD), (9 * 100,), "--names"),
        (TaskOptions(Task.DETECT, layout=HeadLayout.SSD, classes=("a", "b")), (701,), "has the shape"),
        (TaskOptions(Task.DETECT, layout=HeadLayout.ANCHORED), (1234,), "needs an output of"),
        (TaskOptions(Task.DETECT, classes=("a", "b")), (84, CELLS), "2 names"),
        (TaskOptions(Task.DETECT, score=0.6), (84, CELLS), "score at most sure"),
        (TaskOptions(Task.DETECT, bound=1.5), (84, CELLS), "shares above 0"),
        (TaskOptions(Task.SEGMENT), (21,), "height"),
        (TaskOptions(Task.KEYWORD), (1,), "two classes"),
        (TaskOptions(Task.TEXT), (5,), r"allowed is \(windows, classes\)"),
        (TaskOptions(Task.TEXT, blank=5), (4, 5), "0 to 4"),
        (TaskOptions(Task.TEXT, blank=-6), (4, 5), "0 to 4"),
        (TaskOptions(Task.TEXT, classes=("a", "b")), (4, 5), "2 names"),
        (TaskOptions(Task.REGRESS), (1,), "--bound"),
        (TaskOptions(Task.CLASSIFY), (1,), "--threshold"),
    ],
)
def test_an_output_that_does_not_fit_its_task_is_refused(
    options: TaskOptions, output: tuple[int, ...], words: str
) -> None:
    with pytest.raises(RiskError, match=words):
        options.risk(output, PICTURE, False)


@pytest.mark.parametrize(
    ("task", "output", "kind", "bound"),
    [
        (Task.CLASSIFY, (10,), Compared.BEST_CLASS, None),
        (Task.EMBED, (384,), Compared.COSINE, 0.05),
        (Task.SEGMENT, (21, 32, 32), Compared.PIXELS, 0.02),
        (Task.KEYWORD, (12, 8), Compared.WINDOWS, 0.0),
        (Task.TEXT, (12, 8), Compared.TEXT, 0.0),
        (Task.DETECT, (84, CELLS), Compared.BOXES, 0.5),
    ],
)
def test_each_task_has_its_comparison(
    task: Task, output: tuple[int, ...], kind: Compared, bound: float | None
) -> None:
    risk = TaskOptions(task).risk(output, PICTURE, False)
    assert risk.kind is Risk.DISAGREEMENT
    assert (risk.comparison.kind, risk.comparison.bound, risk.comparison.task) == (kind, bound, task)
    values = np.random.default_rng(0).random((3, int(np.prod(output)))).astype(np.float32)
    assert not risk.failures(values, values, None).any()
    assert risk.loss(values, values) == pytest.approx(0, abs=1e-6)
    assert risk.loss(values, values[::-1].copy()) > 0


def test_a_mask_without_classes_is_cut_in_the_middle() -> None:
    found = TaskOptions(Task.SEGMENT).risk((32, 32), PICTURE, False).comparison.label_map
    assert found == LabelMap(1, True, 0.5)


def test_the_blank_may_be_counted_from_the_end() -> None:
    found = TaskOptions(Task.TEXT, 0.1, blank=-1).risk((12, 8), PICTURE, False)
    assert found.comparison.label_map == LabelMap(8, False, blank=7)
    assert "0.1 times" in found.text
    assert (
        TaskOptions(Task.TEXT).risk((12, 8), PICTURE, False).text == "another text is read than by the full model"
    )


def test_with_labels_only_objects_that_the_full_model_finds_can_be_lost() -> None:
    risk = TaskOptions(Task.DETECT).risk((6, 7), (3, 64, 64), True)
    assert risk.kind is Risk.NEWLY_WRONG
    full = np.zeros((3, 6, 7), np.float32)
    full[:, :4, 0], full[:, 4, 0] = (20, 20, 16, 16), 0.9
    full[:, :4, 1], full[:, 5, 1] = (44, 44, 20, 20), 0.8
    point = full.copy()
    point[0, 4, 0] = 0  # what was labelled is lost
    point[1, 5, 1] = 0  # what was not labelled is lost
    point[2, 4, 2], point[2, :4, 2] = 0.9, (50, 10, 8, 8)  # something is made up
    objects = np.full((3, 2, 5), -1, np.float32)
    objects[:, 0] = (0, 12, 12, 28, 28)
    flat = (each.reshape(3, -1) for each in (full, point))
    assert risk.failures(*flat, objects).tolist() == [True, False, False]
    assert risk.accuracy(full.reshape(3, -1), objects) is None
    with pytest.raises(RiskError, match="need labels"):
        risk.failures(full.reshape(3, -1), point.reshape(3, -1), None)


@pytest.mark.parametrize(
    ("options", "output"),
    [
        (TaskOptions(Task.CLASSIFY), (5,)),
        (TaskOptions(Task.DETECT), (84, CELLS)),
        (TaskOptions(Task.SEGMENT), (3, 8, 8)),
        (TaskOptions(Task.KEYWORD), (4, 5)),
        (TaskOptions(Task.TEXT, blank=-1), (4, 5)),
        (TaskOptions(Task.EMBED), (5,)),
        (TaskOptions(Task.REGRESS, bound=0.1), (1,)),
    ],
)
def test_every_tasks_risk_can_be_sent_to_another_process(options: TaskOptions, output: tuple[int, ...]) -> None:
    risk = options.risk(output, PICTURE, True)
    sent = pickle.loads(pickle.dumps(risk))
    assert sent.text == risk.text
    assert sent.comparison == risk.comparison
