"""What a model's answer is, and how a detector's output holds its boxes. Plain data: no numpy, no I/O."""

from dataclasses import dataclass
from enum import StrEnum
from math import prod


class Task(StrEnum):
    """What an answer is; it names what counts as a failure of one input."""

    CLASSIFY = "classify"
    DETECT = "detect"
    SEGMENT = "segment"
    EMBED = "embed"
    KEYWORD = "keyword"
    TEXT = "text"
    REGRESS = "regress"


class HeadLayout(StrEnum):
    """How a detector's output holds its candidates; `tidegate.models.boxes` reads them.

    Centre, width and height in pixels of the input in all but SSD, whose corners are shares of it.
    """

    YOLOV8 = "yolov8"
    """(4 + classes, candidates): scores of classes, no objectness. YOLOv8 to v12 as ultralytics exports them."""
    YOLOV5 = "yolov5"
    """(candidates, 5 + classes): objectness times scores. YOLOv5 and v7, whose anchors the export has applied."""
    YOLOX = "yolox"
    """(candidates, 5 + classes): the same, in cells of grids of 8, 16 and 32 pixels, with logarithms of sizes."""
    ANCHORED = "anchored"
    """(3 * (5 + classes), h, w) of each grid of 8, 16 and 32 pixels, one behind the other: raw YOLOv5 heads."""
    SSD = "ssd"
    """(candidates, 4) corners, then (candidates, 1 + classes) probabilities, the first that of background."""


ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
"""Of YOLOv5: (width, height) in pixels, three for each grid, the finest first."""

_ON_GRIDS = {HeadLayout.YOLOX: 1, HeadLayout.ANCHORED: 3}
"""Candidates per cell, of layouts that are read cell by cell."""

STRIDES = (8, 16, 32)
"""Pixels of the input per cell of a grid."""


def grids_of(input_size: tuple[int, int]) -> list[tuple[int, int]]:
    """(height, width) of the grids over an input of (height, width), the finest first."""
    return [(-(-input_size[0] // stride), -(-input_size[1] // stride)) for stride in STRIDES]


@dataclass(frozen=True, slots=True)
class Detector:
    """How boxes are read from a flat output of `candidates` for an input of (height, width).

    A box counts as found from `score` on, and of those that overlap by an IoU of more than `overlap` the best is
    kept. What one model is sure of, from `sure` on, the other must find. `anchors` are (width, height) in pixels,
    three for each grid, of the layout that needs them.
    """

    layout: HeadLayout
    classes: int
    candidates: int
    input_size: tuple[int, int]
    score: float = 0.25
    overlap: float = 0.45
    sure: float = 0.5
    anchors: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.score <= self.sure < 1 and 0 < self.overlap < 1):
            raise ValueError(
                f"score {self.score}, sure {self.sure} and overlap {self.overlap}: allowed are shares above 0 and "
                "below 1, with score at most sure"
            )
        if (len(self.anchors) == 9) != (self.layout is HeadLayout.ANCHORED):
            raise ValueError(f"{len(self.anchors)} anchors: the layout anchored needs 9, others none")

        if self.layout in _ON_GRIDS and self.candidates != self._on_grids:
            raise ValueError(
                f"{self.candidates} candidates: the grids over an input of {self.input_size} hold {self._on_grids}"
            )

    def failure(self, least_overlap: float, labelled: bool) -> str:
        """What counts as one in a frame, in words; `tidegate.models.matching` carries it out."""
        if labelled:
            return f"a labelled object that the full model finds at an IoU of {least_overlap:g} is lost"
        return (
            f"an object that either model finds with a score of {self.sure:g} has none of its label at an IoU of "
            f"{least_overlap:g} in the other's, with scores from {self.score:g}"
        )

    @property
    def _on_grids(self) -> int:
        return _ON_GRIDS.get(self.layout, 0) * sum(map(prod, grids_of(self.input_size)))

    @property
    def outputs(self) -> int:
        """Numbers in one output."""
        return self.candidates * (self.classes + (4 if self.layout is HeadLayout.YOLOV8 else 5))


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A label at every position (pixel, window) of a flat output of (classes, positions), or the other way round.

    The label is the class with the largest value, and none where that is not above `threshold`. One class is there
    where its value is above the threshold. With a `blank` the labels are read as a text, as CTC does:
    `tidegate.models.reading`.
    """

    classes: int
    classes_first: bool
    threshold: float | None = None
    blank: int | None = None

    def __post_init__(self) -> None:
        if self.classes == 1 and self.threshold is None:
            raise ValueError("a map of one class needs a threshold")
        if self.blank is not None and not 0 <= self.blank < self.classes:
            raise ValueError(
                f"blank {self.blank}: allowed are 0 to {self.classes - 1}, the numbers of the classes"
            )
