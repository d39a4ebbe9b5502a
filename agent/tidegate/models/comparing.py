"""Whether answers are other ones than the full model's: the same test at calibration and in shadow runs."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tidegate.models.boxes import Found, found_in
from tidegate.models.ladder import Compared, Comparison
from tidegate.models.matching import labelled_objects, lost_objects, same_objects
from tidegate.models.reading import edits, read_in
from tidegate.models.task import Detector, LabelMap

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

CLEAR = 0.1
"""By how much scores and overlaps of objects may move without changing what is clear."""


def differ(comparison: Comparison, full: Floats, outputs: Floats) -> Mask:
    """Per sample whether the answer is another one; both arrays (samples, *output shape), the full model's first.

    Raises ValueError for a comparison by a function of the user's own, which only its calibration has.
    """
    if comparison.kind is Compared.BEST_CLASS:
        return np.asarray(full.argmax(1) != outputs.argmax(1))
    if comparison.bound is None:
        raise ValueError(f"answers can't be compared here: by {comparison.kind}")
    if comparison.kind is Compared.THRESHOLD:
        return np.asarray((full[:, 0] > comparison.bound) != (outputs[:, 0] > comparison.bound))
    if comparison.detector is not None:
        return _other_objects(comparison.detector, comparison.bound, full, outputs)
    return np.asarray(_distances(comparison, full, outputs) > comparison.bound)


def answers(comparison: Comparison, full: Floats, outputs: Floats) -> Indices:
    """A number for each answer, which is the same where the answer is: (samples,).

    The best class, the side of the bound, or 0 where it is the full model's in `full` and 1 where it isn't. For a
    function of the user's own, which isn't here, the best class stands in, or the side of the middle.
    """
    if comparison.kind is Compared.THRESHOLD and comparison.bound is not None:
        return np.asarray(outputs[:, 0] > comparison.bound, np.int64)
    if comparison.kind in {Compared.BEST_CLASS, Compared.OWN}:
        if outputs.shape[1] > 1:
            return np.asarray(outputs.argmax(1), np.int64)
        return np.asarray(outputs[:, 0] > np.median(full[:, 0]), np.int64)
    return differ(comparison, full, outputs).astype(np.int64)


def newly_lost(comparison: Comparison, objects: Floats, full: Floats, outputs: Floats) -> Mask:
    """In which frames a labelled object is found by the full model and not by the other: (samples,).

    `objects` are (samples, most, 5), see `labelled_objects`. Raises ValueError where answers are no boxes.
    """
    if comparison.detector is None or comparison.bound is None:
        raise ValueError(f"objects are for detectors, these answers are compared by {comparison.kind}")
    before, after = found_in(comparison.detector, full), found_in(comparison.detector, outputs)
    frames = zip(labelled_objects(objects), before, after, strict=True)
    return np.array([lost_objects(*frame, least_overlap=comparison.bound) for frame in frames], np.bool_)


def clearness(comparison: Comparison, full: Floats, outputs: Floats) -> Floats:
    """How clearly an answer is the full model's, more where it is clearer, below 0 where it is not: (samples,).

    For answers that are compared with a bound of what may lie between them; objects count for the more that are
    found.
    """
    if comparison.bound is None:
        raise ValueError(f"answers can't be compared here: by {comparison.kind}")
    if comparison.detector is None:
        return np.asarray(comparison.bound - _distances(comparison, full, outputs), np.float32)
    found = comparison.detector
    strict = replace(found, sure=max(found.sure - CLEAR, found.score), score=found.score)
    bound = min(comparison.bound + CLEAR, 1.0)
    apart = _other_objects(strict, bound, full, outputs)
    counts = [(each.scores >= found.sure).sum() for each in found_in(found, full)]
    return np.where(apart, -1, np.array(counts, np.float32)).astype(np.float32)


def position_labels(labelled: LabelMap, outputs: Floats) -> Indices:
    """The label at each position (samples, positions), -1 where there is none."""
    shape = (labelled.classes, -1) if labelled.classes_first else (-1, labelled.classes)
    values = outputs.reshape(len(outputs), *shape)
    axis = 1 if labelled.classes_first else 2
    found: Indices = values.argmax(axis).astype(np.int64)
    if labelled.threshold is not None:
        found[~(values.max(axis) > labelled.threshold)] = -1
    return found


def _distances(comparison: Comparison, full: Floats, outputs: Floats) -> Floats:
    """What is held against the bound: a cosine or Euclidean distance, or a share of positions or of a text."""
    if comparison.kind is Compared.COSINE:
        norms = np.linalg.norm(full, axis=1) * np.linalg.norm(outputs, axis=1)
        cosine = (full * outputs).sum(1) / np.maximum(norms, np.finfo(np.float32).tiny)
        return np.asarray(1 - cosine)
    if comparison.label_map is not None:
        labels = [position_labels(comparison.label_map, each) for each in (full, outputs)]
        if comparison.kind is Compared.TEXT:
            texts = zip(*(read_in(comparison.label_map, each) for each in labels), strict=True)
            return np.array([edits(*pair) / max(len(pair[0]), 1) for pair in texts], np.float32)
        return np.asarray(np.not_equal(*labels).mean(1), np.float32)
    return np.asarray(np.linalg.norm(full - outputs, axis=1))


def _other_objects(detector: Detector, least_overlap: float, full: Floats, outputs: Floats) -> Mask:
    pairs: zip[tuple[Found, Found]] = zip(found_in(detector, full), found_in(detector, outputs), strict=True)
    return np.array([not same_objects(one, other, detector.sure, least_overlap) for one, other in pairs], np.bool_)
