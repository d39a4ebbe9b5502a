"""Text in lines of a terminal: broken at words, shortened at words, measured in cells. Pure."""

import re
import unicodedata

from rich.cells import cell_len, chop_cells

ELLIPSIS = "…"


def plain(text: str) -> str:
    """The text on one line without what moves a terminal's cursor: names come from files and from the network."""
    return " ".join(
        "".join("�" if unicodedata.category(each) in _UNSEEN else each for each in word) for word in text.split()
    )


_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def wrap(text: str, width: int, at_most: int | None = None) -> list[str]:
    """The text in lines of at most `width` cells; the last of `at_most` ends in an ellipsis if more was said.

    Lines end between words; a word wider than a line is broken. At least one line, at least one cell wide.
    """
    width = max(width, 1)
    lines = [""]
    for word in plain(text).split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= width:
            lines[-1] = joined
            continue
        pieces = _pieces(word, width)
        lines[-1:] = [*([lines[-1]] if lines[-1] else []), *pieces]
    if at_most is None or len(lines) <= at_most:
        return lines
    kept = lines[: max(at_most, 1)]
    return [*kept[:-1], _shortened(kept[-1], width)]


def broken_at_words(text: str, width: int) -> str:
    """The text with line breaks between the words of lines wider than `width`, which keep their indentation.

    A word wider than a line stays whole, and so does an excerpt of a file: its mark stands below a column.
    """
    return "\n".join(line for each in text.split("\n") for line in _broken(each, width))


def _broken(line: str, width: int) -> list[str]:
    if cell_len(line) <= width or _EXCERPT.match(line):
        return [line]
    indentation = line[: len(line) - len(line.lstrip(" "))]
    lines = [""]
    for word in line.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else indentation + word
        if lines[-1] and cell_len(joined) > width:
            lines.append(indentation + word)
        else:
            lines[-1] = joined
    return lines


_EXCERPT = re.compile(r" *\d* \| ")


def _pieces(word: str, width: int) -> list[str]:
    return chop_cells(word, width) if cell_len(word) > width else [word]


def _shortened(line: str, width: int) -> str:
    """The line with room made for an ellipsis: its last words go, of a single long one its last letters."""
    if cell_len(line) + 2 <= width:
        return f"{line} {ELLIPSIS}"
    head, _, _ = line.rpartition(" ")
    if head:
        return f"{head} {ELLIPSIS}"
    pieces = chop_cells(line, width - 1) if width > 1 else []
    return (pieces[0] if pieces else "") + ELLIPSIS
