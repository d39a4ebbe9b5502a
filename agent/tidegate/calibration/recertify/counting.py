"""How often points fail on inputs of which few are labelled. Pure.

A point that gives the full model's answer is not newly wrong, whatever the label: only where answers differ is a
label needed. Where one is missing there, the input counts as a failure, so that every certificate stays valid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.calibration.certify.certification import certify
from tidegate.models.bundle.evidence import Floats, Indices, Objects
from tidegate.models.comparing import Mask, differ, newly_lost
from tidegate.models.ladder import Certificate, Compared, Comparison, Risk

UNLABELLED = -1
"""In the place of a label that nobody has given."""

ALPHAS = (0.005, 0.01, 0.015, 0.03, 0.05)
"""Losses to certify: where frames are plenty, half a percent can be shown too."""


def unlabelled(inputs: int) -> Indices:
    """Labels (inputs,) of which none is known."""
    return np.full(inputs, UNLABELLED, np.int64)


def clips_of(inputs: int, frames: int) -> Indices:
    """Clip numbers (inputs,) where so many frames in a row are one clip."""
    return np.arange(inputs, dtype=np.int64) // frames


@dataclass(frozen=True, slots=True)
class PointAnswers:
    """A point's answers (n,) by class or side, None for other outputs; `differs` (n,) says where from full's.

    `lost` (n,) says where a labelled object is found by the full model alone; None without objects.
    """

    answers: Indices | None
    differs: Mask
    lost: Mask | None = None


def compared(
    comparison: Comparison, full: Floats, outputs: Floats, objects: Objects | None = None
) -> PointAnswers:
    """Both outputs (n, *output shape). Raises ValueError for a comparison by a user's own function."""
    lost = None if objects is None else newly_lost(comparison, objects, full, outputs)
    return PointAnswers(answers_of(comparison, outputs), differ(comparison, full, outputs), lost)


def answers_of(comparison: Comparison, outputs: Floats) -> Indices | None:
    """What labels are held against: the best class, or the side of the bound; None for embeddings and numbers."""
    if comparison.kind is Compared.THRESHOLD and comparison.bound is not None:
        return np.asarray(outputs[:, 0] > comparison.bound, np.int64)
    if comparison.kind is Compared.BEST_CLASS and outputs.shape[1] > 1:
        return np.asarray(outputs.argmax(1), np.int64)
    return None


def to_label(points: Sequence[PointAnswers], labels: Indices | None = None) -> Indices:
    """Indices of unlabelled inputs on which a point differs: those of the dearest point first.

    Certification goes down the ladder, so that what a dear point needs is worth most.
    """
    if not points:
        return np.empty(0, np.int64)
    differs = np.stack([point.differs for point in points])
    asked = differs.any(0) if labels is None else differs.any(0) & (labels == UNLABELLED)
    indices = np.flatnonzero(asked)
    return indices[np.argsort(differs.argmax(0)[indices], kind="stable")]


def failed(full: Indices | None, point: PointAnswers, labels: Indices | None) -> Mask:
    """Which inputs fail at the point (n,): newly wrong ones, and without labels all that differ.

    `full` are the full model's answers.
    """
    if point.lost is not None:
        return point.lost
    if labels is None or full is None or point.answers is None:
        return point.differs
    newly_wrong = (full == labels) & (point.answers != labels)
    return np.asarray(point.differs & (newly_wrong | (labels == UNLABELLED)))


def by_clip(failed_inputs: Mask, clips: npt.NDArray[np.generic] | None) -> Mask:
    """Which clips have an input that fails; `clips` (n,) names each input's, None makes each input its own.

    Frames of one clip resemble each other: n of them are not n independent tries.
    """
    if clips is None:
        return failed_inputs
    _, place = np.unique(clips, return_inverse=True)
    found = np.zeros(place.max(initial=-1) + 1, np.bool_)
    np.logical_or.at(found, place, failed_inputs)
    return found


def certificates(
    failures: Sequence[Mask], risk: Risk, alphas: Sequence[float], delta: float
) -> tuple[Certificate | None, ...]:
    """One per point, in the ladder's order from the full point's neighbour down, each mask over the same tries."""
    counts = [int(mask.sum()) for mask in failures]
    n = len(failures[0]) if failures else 0
    return certify(counts, n, alphas, delta, risk).certificates
