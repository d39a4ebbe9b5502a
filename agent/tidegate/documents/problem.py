"""Problems: what is wrong in a document, where, and what to do; printed like a good compiler does."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.errors import EX_CONFIG, TidegateError

Path = tuple[str | int, ...]

# The line breaks of YAML 1.1, which PyYAML's marks count; str.splitlines knows others.
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MOST_PRINTED = 20
_WIDTH = 79
"""What an 80-column terminal shows without breaking the line, so that the carets stay below what they mean."""
_CUT = "..."
_MOST_OF_A_NAME = 300
"""Characters of a file's name: the longest that a user may mean to type."""
_SHOWN_WIDTH = _WIDTH - len("   1 | ")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text: line and column from 1, and how many characters of that line are meant."""

    line: int
    column: int
    width: int = 1

    def within(self, name: str) -> str:
        """`name:line:column`; the name alone for WHOLE."""
        name = shown(name, _MOST_OF_A_NAME)
        return f"{name}:{self.line}:{self.column}" if self.line else name


WHOLE = Mark(0, 0, 0)
"""The document as a whole, such as a file that is not there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where, what was found, what is allowed, the nearest known word, what to do.

    Empty strings stand for what does not apply. `path` is written as in `rules[1].when.all[0].battery`.
    """

    mark: Mark
    path: str
    message: str
    found: str = ""
    allowed: str = ""
    nearest: str = ""
    hint: str = ""


class DocumentError(TidegateError):
    """A document was refused. `problems` has at least one entry; `str()` prints them with their source lines."""

    exit_code = EX_CONFIG

    def __init__(self, name: str, text: str, problems: Sequence[Problem]) -> None:
        super().__init__(name, text, tuple(problems))
        self.name = name
        self.text = text
        self.problems = tuple(sorted(problems, key=lambda p: (p.mark.line, p.mark.column)))

    def __str__(self) -> str:
        lines = LINE_BREAK.split(self.text)
        blocks = [_block(self.name, problem, lines) for problem in self.problems[:_MOST_PRINTED]]
        left = len(self.problems) - _MOST_PRINTED
        return "\n".join(blocks) + (f"\nand {left} more problems" if left > 0 else "")


def written(path: Path) -> str:
    """A path as text: `rules[1].when`; empty for the document itself."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _PLAIN_KEY.fullmatch(part) else shown(repr(part))
            text += f".{key}" if text else key
    return text


def shown(text: str, width: int = 60) -> str:
    """Text fit for a terminal: unprintable characters replaced one by one, cut to `width`."""
    clean = "".join(
        c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text[: width + 1]
    )
    return clean if len(clean) <= width else clean[: width - 3] + "..."


def place(text: str, index: int) -> Mark:
    """The mark of a character index in a text."""
    before = LINE_BREAK.split(text[:index])
    return Mark(len(before), len(before[-1]) + 1)


def _block(name: str, problem: Problem, lines: Sequence[str]) -> str:
    mark = problem.mark
    out = [f"{mark.within(name)}: " + (f"{problem.path}: " if problem.path else "") + problem.message]
    if 1 <= mark.line <= len(lines) and lines[mark.line - 1].strip():
        out += _excerpt(lines[mark.line - 1], mark)
    facts = (
        ("found", problem.found),
        ("allowed", problem.allowed),
        ("nearest", problem.nearest),
        ("hint", problem.hint),
    )
    out += [_fact(label, fact) for label, fact in facts if fact]
    return "\n".join(out)


def _fact(label: str, fact: str) -> str:
    head = f"     {label}: "
    return textwrap.fill(
        fact,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _excerpt(line: str, mark: Mark) -> list[str]:
    """The line and the carets below it; of a long line the part around the mark."""
    end = mark.column - 1 + mark.width
    start = 0
    if len(line) > _SHOWN_WIDTH and end > _SHOWN_WIDTH - len(_CUT):
        start = max(0, min(mark.column - 1 - len(_CUT), end - _SHOWN_WIDTH * 3 // 4))
    part = line[start : start + _SHOWN_WIDTH + 1]
    source = shown(_CUT + part[len(_CUT) :] if start else part, _SHOWN_WIDTH)
    column = mark.column - 1 - start
    carets = "^" * max(1, min(mark.width, len(source) - column))
    return [f"{mark.line:>4} | {source}".rstrip(), f"     | {' ' * column}{carets}"]
