"""The 0/1 loss per input that each task names, so that one exact test certifies them all."""

from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from tidegate.calibration.certify.risk import (
    DISAGREEMENT,
    NEWLY_WRONG,
    Labels,
    RiskError,
    RiskMeasure,
    across_threshold,
    beyond_cosine,
    beyond_distance,
    relative_square,
)
from tidegate.engines.engine import Array
from tidegate.models import comparing
from tidegate.models.boxes import scores_in
from tidegate.models.bundle.evidence import Truth
from tidegate.models.comparing import Mask
from tidegate.models.ladder import Compared, Comparison, Risk
from tidegate.models.reading import with_blank
from tidegate.models.task import ANCHORS, Detector, HeadLayout, LabelMap, Task, grids_of

BOUNDS = {Task.DETECT: 0.5, Task.SEGMENT: 0.02, Task.EMBED: 0.05, Task.KEYWORD: 0.0, Task.TEXT: 0.0}
"""IoU at which boxes are the same object's, share of pixels, cosine distance, share of windows, of a text."""

NONE_AT_ALL = {Task.KEYWORD, Task.TEXT}
"""Whose bound may be 0."""

MASK_THRESHOLD = 0.5
"""For a mask of one class, as segmentation nets give it behind a sigmoid."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """A task, and what its user says about it; None where the default, or what the output's shape tells, will do.

    `classes` are names. What the others are: `Detector` (layout, score, overlap, sure, anchors), `LabelMap`
    (threshold, blank, which may count from the end as -1), `Comparison` (bound).
    """

    task: Task
    bound: float | None = None
    threshold: float | None = None
    layout: HeadLayout | None = None
    score: float = 0.25
    overlap: float = 0.45
    sure: float = 0.5
    anchors: tuple[tuple[float, float], ...] | None = None
    classes: tuple[str, ...] = ()
    blank: int = 0

    def risk(self, output: tuple[int, ...], image: tuple[int, ...], labelled: bool) -> RiskMeasure:
        """The risk for an output and an input of these shapes, per sample. Raises RiskError.

        Labels, where there are any, are held against the answers of classifiers and detectors; the others are
        certified by how far they are from the full model's.
        """
        if self.task is Task.CLASSIFY:
            if prod(output) == 1:
                return across_threshold(self._given("threshold", self.threshold), labelled)
            return NEWLY_WRONG if labelled else DISAGREEMENT
        if self.task is Task.DETECT:
            return box_risk(self._detector(output, image), self._bound, labelled)
        makers = {
            Task.EMBED: lambda: beyond_cosine(self._bound),
            Task.REGRESS: lambda: beyond_distance(self._given("bound", self.bound)),
            Task.SEGMENT: lambda: self._map_risk(Compared.PIXELS, "pixels", self._pixels(output)),
            Task.KEYWORD: lambda: self._map_risk(Compared.WINDOWS, "windows", self._windows(output)),
            Task.TEXT: lambda: self._text_risk(output),
        }
        return makers[self.task]()

    @property
    def _bound(self) -> float:
        found = BOUNDS[self.task] if self.bound is None else self.bound
        if not 0 <= found < 1 or (found == 0 and self.task not in NONE_AT_ALL):
            raise RiskError(f"--bound {found:g}: allowed for {self.task} are shares above 0 and below 1")
        return found

    def _given(self, option: str, value: float | None) -> float:
        if value is None:
            raise RiskError(f"--task {self.task}: this model has one output or numbers: --{option} must be given")
        return value

    def _pixels(self, output: tuple[int, ...]) -> LabelMap:
        if len(output) not in {2, 3}:
            raise RiskError(
                f"--task segment: the output has the shape {output} per sample; allowed are (classes, height, "
                "width) and (height, width)"
            )
        classes = output[0] if len(output) == 3 else 1
        default = MASK_THRESHOLD if classes == 1 else None
        return LabelMap(classes, True, default if self.threshold is None else self.threshold)

    def _windows(self, output: tuple[int, ...]) -> LabelMap:
        if len(output) not in {1, 2} or output[-1] < 2:
            raise RiskError(
                f"--task keyword: the output has the shape {output} per sample; allowed are (windows, classes) "
                "and (classes,), with two classes or more"
            )
        return LabelMap(output[-1], False, self.threshold)

    def _map_risk(self, kind: Compared, positions: str, labelled: LabelMap) -> RiskMeasure:
        comparison = Comparison(kind, self._bound, label_map=labelled)
        text = f"more than {self._bound:.3g} of the {positions} have another label than the full model gives"
        return _disagreement(comparison, text)

    def _text_risk(self, output: tuple[int, ...]) -> RiskMeasure:
        if len(output) != 2 or output[1] < 2:
            raise RiskError(
                f"--task text: the output has the shape {output} per sample; allowed is (windows, classes), with "
                "two classes or more, the blank among them"
            )
        classes = output[1]
        if not -classes <= self.blank < classes:
            raise RiskError(
                f"--blank {self.blank}: allowed are 0 to {classes - 1}, the numbers of the classes, and -1 for "
                "the last"
            )
        labelled = LabelMap(classes, False, self.threshold, self.blank % classes)
        if self.classes and with_blank(self.classes, classes, self.blank % classes) is None:
            raise RiskError(
                f"{len(self.classes)} names of classes: the output of shape {output} has {classes}; the blank's "
                "may be left out, and that of a space which comes last"
            )
        comparison = Comparison(Compared.TEXT, self._bound, label_map=labelled)
        if not self._bound:
            return _disagreement(comparison, "another text is read than by the full model")
        text = (
            "the text read is more edits away from the full model's than "
            f"{self._bound:.3g} times the labels of that one"
        )
        return _disagreement(comparison, text)

    def _detector(self, output: tuple[int, ...], image: tuple[int, ...]) -> Detector:
        if len(image) != 3:
            raise RiskError(f"--task detect: inputs have the shape {image}; needed are pictures (channels, h, w)")
        size = (image[1], image[2])
        layout = layout_of(output, size) if self.layout is None else self.layout
        classes, candidates = self._classes_of(layout, output, size)
        if self.classes and len(self.classes) != classes:
            raise RiskError(f"{len(self.classes)} names of classes: the output of shape {output} has {classes}")
        anchors: tuple[tuple[float, float], ...] = ANCHORS if self.anchors is None else self.anchors
        try:
            found = Detector(
                layout,
                classes,
                candidates,
                size,
                self.score,
                self.overlap,
                self.sure,
                anchors if layout is HeadLayout.ANCHORED else (),
            )
        except ValueError as error:
            raise RiskError(f"--task detect: {error}") from error
        if found.outputs != prod(output):
            raise RiskError(
                f"--detect-layout {layout}: needs an output of {found.outputs} numbers, this model's has the "
                f"shape {output}; the layouts are {', '.join(HeadLayout)}"
            )
        return found

    def _classes_of(self, layout: HeadLayout, output: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
        """Classes and candidates of an output, which is flat where it was joined from several."""
        if layout is HeadLayout.ANCHORED:
            candidates = 3 * sum(height * width for height, width in grids_of(size))
            return max(prod(output) // candidates - 5, 1), candidates
        if layout is HeadLayout.SSD:
            if not self.classes:
                raise RiskError("--detect-layout ssd: name the classes, without background, with --names")
            return len(self.classes), prod(output) // (5 + len(self.classes))
        if len(output) != 2:
            raise RiskError(f"--detect-layout {layout}: needs an output of two axes, this has the shape {output}")
        rows, columns = output
        return (rows - 4, columns) if layout is HeadLayout.YOLOV8 else (columns - 5, rows)


def layout_of(output: tuple[int, ...], size: tuple[int, int]) -> HeadLayout:
    """The layout that an output's shape tells for an input of (height, width). Raises RiskError."""
    cells = sum(height * width for height, width in grids_of(size))
    if len(output) == 2 and 4 < output[0] < output[1]:
        return HeadLayout.YOLOV8
    if len(output) == 2 and 5 < output[1] < output[0] and output[0] != cells:
        return HeadLayout.YOLOV5
    if len(output) == 1:
        raise RiskError(
            f"--task detect: the output has one axis, {output}, as a classifier's: --task classify; of a detector "
            "with several outputs --output names the one with the boxes"
        )
    raise RiskError(
        f"--task detect: the output's shape {output} doesn't tell its layout; name it with --detect-layout: "
        f"{', '.join(HeadLayout)} (of YOLOX's own export it is yolox)"
    )


def box_risk(detector: Detector, least_overlap: float, labelled: bool) -> RiskMeasure:
    """For detectors, per frame: objects are lost, mislabelled or made up; or labelled ones are lost."""
    comparison = Comparison(Compared.BOXES, least_overlap, detector)
    return RiskMeasure(
        Risk.NEWLY_WRONG if labelled else Risk.DISAGREEMENT,
        detector.failure(least_overlap, labelled),
        comparison,
        partial(comparing.differ, comparison),
        partial(_score_loss, detector),
        no_answers,
        partial(_lost, comparison),
    )


def _score_loss(detector: Detector, full: Array, outputs: Array) -> float:
    """Mean square by which scores move, as a share of their own."""
    before, after = scores_in(detector, full), scores_in(detector, outputs)
    return float(np.square(before - after).mean() / max(float(np.square(before).mean()), 1e-12))


def _lost(comparison: Comparison, full: Array, outputs: Array, objects: Truth) -> Mask:
    return comparing.newly_lost(comparison, np.asarray(objects, np.float32), full, outputs)


def _disagreement(comparison: Comparison, text: str) -> RiskMeasure:
    differ = partial(comparing.differ, comparison)
    return RiskMeasure(Risk.DISAGREEMENT, text, comparison, differ, relative_square, no_answers)


def no_answers(outputs: Array) -> Labels | None:
    """Of outputs that no single label can be held against."""
    del outputs
    return None
