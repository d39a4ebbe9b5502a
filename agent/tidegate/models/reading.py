"""The text that a label per window comes to, as CTC reads it: repeats are one, and blanks part them. Pure."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from tidegate.models.task import LabelMap

Indices = npt.NDArray[np.int64]
Text = tuple[int, ...]
"""Numbers of labels, without blanks."""


def read_in(labelled: LabelMap, labels: Indices) -> tuple[Text, ...]:
    """The text of each sample from its label per window (samples, windows); windows without one are blanks."""
    dropped = {-1, labelled.blank}
    return tuple(tuple(label for label, _ in groupby(row) if label not in dropped) for row in labels.tolist())


def spelled(names: Sequence[str], text: Text, blank: int | None) -> str:
    """A text in the names of its labels: letters one behind the other, longer names with a space between them."""
    letters = all(len(name) == 1 for label, name in enumerate(names) if label != blank)
    return ("" if letters else " ").join(names[label] for label in text)


def with_blank(names: Sequence[str], classes: int, blank: int) -> tuple[str, ...] | None:
    """Names of all classes from a dictionary's, which may leave out the blank, or also a space that comes last.

    PP-OCR's dictionaries leave out both. None where the names are not so many.
    """
    if len(names) == classes - 2:
        names = (*names, " ")
    if len(names) == classes - 1:
        names = (*names[:blank], "", *names[blank:])
    return tuple(names) if len(names) == classes else None


def edits(one: Text, other: Text) -> int:
    """The least number of labels to insert, drop or replace that make one text the other."""
    before = list(range(len(other) + 1))
    for place, label in enumerate(one, 1):
        after = [place]
        for index, wanted in enumerate(other):
            after.append(min(before[index] + (label != wanted), before[index + 1] + 1, after[index] + 1))
        before = after
    return before[-1]
