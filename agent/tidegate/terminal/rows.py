"""Rows of a view, each with its rank: what doesn't fit is left out, the least important first. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len, set_cell_size

from tidegate.terminal.wrapping import plain, wrap


@dataclass(frozen=True, slots=True)
class Row:
    """One fact: the lowest `rank` is the last to go. `at_most` lines are used where there is room, None for any.

    `more` is the rank of its lines after the first; without one they come after every row's first. A `heading`
    goes with the rows under it. `style` is for those who see colour; the words say it all.
    """

    rank: float
    label: str
    text: str = ""
    style: str = ""
    at_most: int | None = 1
    more: float = math.inf
    heading: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the terminal: the label's column, and the text behind it."""

    label: str
    text: str
    style: str
    heading: bool


def fit(rows: Sequence[Row], width: int, height: int | None) -> list[Line]:
    """The rows, in their order, in at most `height` lines (None for any number) of at most `width` cells each."""
    label_widths = _label_widths(rows, width)
    texts = [max(width - label_width - 1, 1) for label_width in label_widths]
    wanted = [
        1 if row.heading else len(wrap(row.text, text_width, None if height is None else row.at_most))
        for row, text_width in zip(rows, texts, strict=True)
    ]
    given = wanted if height is None else _share(rows, wanted, height)
    lines: list[Line] = []
    for row, count, label_width, text_width in zip(rows, given, label_widths, texts, strict=True):
        if count and row.heading:
            lines.append(Line(wrap(row.label, width, 1)[0], "", row.style, heading=True))
        elif count:
            labels = [wrap(row.label, label_width, 1)[0], *[""] * (count - 1)]
            for label, text in zip(labels, wrap(row.text, text_width, count), strict=True):
                lines.append(Line(set_cell_size(label, label_width), text, row.style, heading=False))
    return lines


def _label_widths(rows: Sequence[Row], width: int) -> list[int]:
    """Width of the labels' column for each row: one for all rows under a heading, at most half the terminal."""
    sections = list(accumulate(row.heading for row in rows))
    widest: dict[int, int] = {}
    for row, section in zip(rows, sections, strict=True):
        if not row.heading:
            widest[section] = max(widest.get(section, 0), cell_len(plain(row.label)))
    return [min(widest.get(section, 0), max(width // 2, 1)) for section in sections]


def _share(rows: Sequence[Row], wanted: Sequence[int], height: int) -> list[int]:
    by_rank = sorted(
        (row.more if line else row.rank, index, line)
        for index, (row, lines) in enumerate(zip(rows, wanted, strict=True))
        for line in range(lines)
    )
    given = [0] * len(rows)
    for _, index, _ in by_rank[: max(height, 0)]:
        given[index] += 1
    for index, row in enumerate(rows):
        following = next((later for later in range(index + 1, len(rows)) if given[later]), None)
        if row.heading and (following is None or rows[following].heading):
            given[index] = 0  # a heading over nothing says nothing
    return given
