"""Whether two detectors found the same objects in a frame: box risk's loss, 0 or 1 per frame. Pure."""

import numpy as np

from tidegate.models.boxes import Floats, Found, Indices, overlaps

NOBODY = -1
"""The partner of a box that has none."""


def partners(boxes: Found, others: Found, least_overlap: float) -> Indices:
    """For each box the place of the other of its label that it is the same object as, or NOBODY: (n,).

    One by one, best first: each takes the one that it overlaps most, with an IoU of at least `least_overlap`, of
    those that nobody has taken. So two objects never share a partner.
    """
    found = np.full(len(boxes.labels), NOBODY, np.int64)
    if not len(boxes.labels) or not len(others.labels):
        return found
    shared = overlaps(boxes.boxes, others.boxes)
    shared[boxes.labels[:, None] != others.labels[None]] = -1
    for place in range(len(found)):
        best = int(shared[place].argmax())
        if shared[place, best] >= least_overlap:
            found[place] = best
            shared[:, best] = -1
    return found


def same_objects(full: Found, found: Found, sure: float, least_overlap: float) -> bool:
    """Whether all that either is sure of, with a score of at least `sure`, is found by the other at any score."""
    return not any(
        (partners(one, other, least_overlap)[one.scores >= sure] == NOBODY).any()
        for one, other in ((full, found), (found, full))
    )


def labelled_objects(frames: Floats) -> list[Found]:
    """Objects (frames, most, 5) as class, left, top, right, bottom in pixels; a class below 0 fills up."""
    there = [frame[frame[:, 0] >= 0] for frame in frames]
    return [Found(rows[:, 1:], np.ones(len(rows), np.float32), rows[:, 0].astype(np.int64)) for rows in there]


def lost_objects(objects: Found, full: Found, found: Found, least_overlap: float) -> bool:
    """Whether one of the labelled `objects` is found by the full model and not by the other."""
    by_full, by_other = (partners(objects, each, least_overlap) for each in (full, found))
    return bool(((by_full != NOBODY) & (by_other == NOBODY)).any())
