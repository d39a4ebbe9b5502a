"""What a detector found as tensors: `boxes`, `scores` and `labels`, beside the raw output."""

from collections.abc import Mapping

import numpy as np

from tidegate.engines.engine import Array
from tidegate.models.boxes import found_in
from tidegate.models.task import Detector
from tidegate.worker.protocol.datatypes import Stored

BOXES, SCORES, LABELS = "boxes", "scores", "labels"
NOTHING = -1
"""The label of a row that fills up a sample with fewer boxes than another of its batch."""


def detections(detector: Detector, outputs: Array) -> Mapping[str, Stored]:
    """`boxes` (samples, most, 4) FP32 in pixels, `scores` (samples, most) FP32 and `labels` (samples, most) INT64.

    `most` is the largest number found in a sample of the batch; others are filled up with zeros and NOTHING.
    """
    found = found_in(detector, outputs)
    most = max(len(each.labels) for each in found)
    boxes = np.zeros((len(found), most, 4), np.float32)
    scores = np.zeros((len(found), most), np.float32)
    labels = np.full((len(found), most), NOTHING, np.int64)
    for row, each in enumerate(found):
        count = len(each.labels)
        boxes[row, :count], scores[row, :count], labels[row, :count] = each.boxes, each.scores, each.labels
    return {BOXES: boxes, SCORES: scores, LABELS: labels}
