"""Running a bundle's points on frames that a device keeps, of which some make room for others meanwhile."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.recertify.inputs import Footage, KeptInputs
from tidegate.calibration.recertify.recertify import LadderAnswers, answered, joined
from tidegate.engines.engine import Engine
from tidegate.footage.kept import KeptFrame
from tidegate.footage.store import read_sampling
from tidegate.models.bundle import Bundle

Progress = Callable[[int], None]


def answered_sample(
    bundle: Bundle, engine: Engine, footage: Footage, progress: Progress = lambda _: None
) -> tuple[LadderAnswers, KeptInputs]:
    """What every point answers on the even sample, and those frames of it that count. Raises DataError for none.

    Frames that were gone before their turn are left out. Where the agent has lowered its ceiling meanwhile, so are
    those above it that were still read: which ones is a matter of when, and the rest is an even sample as before.
    """
    found = _answered(bundle, engine, footage.sample, progress)
    if found is not None:
        answers, read = found
        bound = read_sampling(footage.directory).even_below
        below = np.array([frame.key < bound for frame in read.frames])
        if below.any():
            frames = tuple(frame for frame, counts in zip(read.frames, below, strict=True) if counts)
            return answers.of(below), replace(read, frames=frames)
    raise DataError(
        f"{footage.directory}: all of the {len(footage.sample)} kept clips made room for others while they were "
        "read; a larger footage.max_size keeps them longer, and a copy keeps them all"
    )


def answered_apart(bundle: Bundle, engine: Engine, footage: Footage) -> tuple[LadderAnswers | None, KeptInputs]:
    """The same on the disagreements that are still there; None where none is."""
    found = _answered(bundle, engine, footage.apart)
    return (None, replace(footage.apart, frames=())) if found is None else found


def _answered(
    bundle: Bundle, engine: Engine, kept: KeptInputs, progress: Progress = lambda _: None
) -> tuple[LadderAnswers, KeptInputs] | None:
    """On those that are there, and which these are; None where none is. `progress` is told how many so far."""
    found: list[LadderAnswers] = []
    frames: list[KeptFrame] = []
    for some, part in kept.parts_there():
        found.append(answered(bundle, engine, part))
        frames += some
        progress(len(frames))
    return (joined(found), replace(kept, frames=tuple(frames))) if found else None
