"""Certificates of a bundle's points on inputs of the caller's own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.api.opened import NetworkInputs, opened_bundle
from tidegate.calibration.recertify.counting import (
    ALPHAS,
    by_clip,
    certificates,
    failed,
    to_label,
)
from tidegate.calibration.recertify.recertify import LadderAnswers, answered
from tidegate.engines.runtime.registry import open_engine
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import Indices
from tidegate.models.ladder import Certificate, Risk
from tidegate.paths import cache_directory

DELTA = 0.05


@dataclass(frozen=True, slots=True)
class Recertified:
    """What a ladder is worth on these inputs.

    `certificates` are by point, without full; None where not even the largest alpha holds. `failures` counts the
    tries that failed: inputs, or clips. `to_label` are indices of inputs whose label would make certificates
    better, the most wanted first: unlabelled ones on which a point differs from full. They count as failures until
    they are labelled.
    """

    certificates: dict[str, Certificate | None]
    failures: dict[str, int]
    to_label: Indices


def certify(
    bundle: Bundle | Path | str,
    inputs: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    clips: npt.ArrayLike | None = None,
    objects: npt.ArrayLike | None = None,
    alphas: Sequence[float] = ALPHAS,
    delta: float = DELTA,
    engine: str = AUTO,
) -> Recertified:
    """Test every point of a bundle on inputs (n, *input shape) that nobody has used for it, here and now.

    `labels` (n,) are class numbers, -1 where none is known; without any, disagreement with the full model is
    certified. Whole inputs are raw values, floats are as the network takes them. `clips` (n,) names the clip that
    each frame is from: clips are counted then. `objects` (n, most, 5) are a detector's: class, left, top, right,
    bottom in pixels; a class of -1 where a frame has fewer. Raises RecertifyError, BundleError, UnknownEngine,
    and ValueError for arrays that don't fit each other.
    """
    opened = opened_bundle(bundle)
    batch = NetworkInputs.of(opened).taken(np.asarray(inputs))
    known = None if labels is None else _fitting("labels", labels, len(batch)).astype(np.int64)
    of_clips = None if clips is None else _fitting("clips", clips, len(batch))
    of_frames = None if objects is None else np.asarray(objects, np.float32)
    if of_frames is not None and (of_frames.ndim != 3 or of_frames.shape[::2] != (len(batch), 5)):
        raise ValueError(f"objects have the shape {of_frames.shape}, needed is ({len(batch)}, most, 5)")
    found = answered(opened, open_engine(engine, opened, cache_directory()), batch, objects=of_frames)
    return recertified(found, known, of_clips, alphas, delta)


def recertified(
    found: LadderAnswers,
    labels: Indices | None,
    clips: npt.NDArray[np.generic] | None,
    alphas: Sequence[float],
    delta: float,
) -> Recertified:
    """What answers come to, with the labels there are. Pure."""
    points = list(found.points.values())
    labelled = labels is not None and found.full is not None
    labelled |= any(point.lost is not None for point in points)
    masks = [by_clip(failed(found.full, point, labels), clips) for point in points]
    differed = [int(by_clip(point.differs, clips).sum()) for point in points]
    risk = Risk.NEWLY_WRONG if labelled else Risk.DISAGREEMENT
    counts = [int(mask.sum()) for mask in masks]
    return Recertified(
        {
            name: None if held is None else replace(held, disagreed=count)
            for name, held, count in zip(
                found.points, certificates(masks, risk, alphas, delta), differed, strict=True
            )
        },
        dict(zip(found.points, counts, strict=True)),
        to_label(points, labels) if found.full is not None else np.empty(0, np.int64),
    )


def _fitting(name: str, given: npt.ArrayLike, n: int) -> npt.NDArray[np.generic]:
    array = np.asarray(given)
    if array.shape != (n,):
        raise ValueError(f"{name} have the shape {array.shape}, needed is ({n},), one for each input")
    return array
