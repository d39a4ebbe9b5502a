"""YAML text to plain values, with the mark of every key and value; bounded in size and depth."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from tidegate.documents.problem import DocumentError, Mark, Path, Problem, place, shown, written
from tidegate.documents.syntax import foreign_space, syntax_problem

Value = str | int | float | bool | list["Value"] | dict[str, "Value"]

MAX_CHARACTERS = 65_536  # a policy of 50 rules has about 10,000; PyYAML needs a second for this many
MAX_DEPTH = 32
MAX_NODES = 20_000  # keys and values; 1,000 rules have about 8,000
_MAX_DIGITS = 18

_SCALARS: tuple[tuple[str, str, str], ...] = (
    # YAML 1.2 core schema, section 10.3.2: `18:00` and `yes` are text there, not 1080 and true.
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed text: plain values, and where each value and each key stands by its path."""

    name: str
    text: str
    value: Value
    marks: Mapping[Path, Mark]
    key_marks: Mapping[Path, Mark]
    sources: Mapping[Path, str] = field(repr=False)
    """Scalars as they were written, quotes included, for error messages."""


def parse(text: str, name: str) -> Document:
    """Parse one YAML document. Raises DocumentError for anything that is not one, within the bounds."""
    if len(text) > MAX_CHARACTERS:
        problem = Problem(
            Mark(1, 1), "", "the document is too long", f"{len(text)} characters", f"at most {MAX_CHARACTERS}"
        )
        raise DocumentError(name, text, [problem])
    try:
        loader = _CoreLoader(text)
    except ReaderError as error:
        raise DocumentError(name, text, [_unprintable(error, text)]) from None
    try:
        root = loader.get_single_node()
    except _RefusedError as error:
        raise DocumentError(name, text, [error.problem]) from None
    except yaml.MarkedYAMLError as error:
        raise DocumentError(name, text, [syntax_problem(error, loader.get_mark(), text)]) from None
    except (ValueError, OverflowError):
        # PyYAML hands escapes such as "\UFFFFFFFF" and endless %YAML versions to chr() and int() unchecked.
        problem = Problem(_mark(loader.get_mark()), "", "not a valid character or number in YAML")
        raise DocumentError(name, text, [problem]) from None
    if root is None:
        raise DocumentError(
            name,
            text,
            [Problem(Mark(1, 1), "", "the document is empty", hint="write at least one line `key: value`")],
        )
    builder = _Builder(text)
    value = builder.build(root, ())
    if builder.problems or value is None:
        raise DocumentError(name, text, builder.problems)
    return Document(name, text, value, builder.marks, builder.key_marks, builder.sources)


class _RefusedError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class _CoreLoader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes nodes with YAML 1.2 scalars; refuses anchors, aliases, tags and deep nesting as they appear."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # a bare stub
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._refuse(event, "anchors and aliases are not allowed", "write the value out at each place")
        if event.tag is not None and event.tag != "!":
            self._refuse(event, "tags are not allowed", "remove the `!...`")
        if self._depth >= MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels", "")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event, f"more than {MAX_NODES} keys and values", "")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    @staticmethod
    def _refuse(event: yaml.Event, message: str, hint: str) -> None:
        raise _RefusedError(Problem(_mark(event.start_mark), "", message, hint=hint))


for _tag, _pattern, _first in _SCALARS:
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first] + [""] * (_tag == "null")
    )


class _Builder:
    """Turns nodes into values, noting marks and collecting problems on the way."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.marks: dict[Path, Mark] = {}
        self.key_marks: dict[Path, Mark] = {}
        self.sources: dict[Path, str] = {}
        self.problems: list[Problem] = []
        self._followed_by: dict[Path, str] = {}
        """Of keys with nothing behind them: the key in the line below, indented by as much."""

    def build(self, node: yaml.Node, path: Path) -> Value | None:
        """The node's value; None after a problem was noted."""
        self.marks[path] = _mark(node.start_mark, node.end_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            values = [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            return [value for value in values if value is not None]
        self.sources[path] = shown(self._text[node.start_mark.index : node.end_mark.index] or node.value)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Value:
        values: dict[str, Value] = {}
        below = [each for each, _ in node.value[1:]] if not node.flow_style else []
        for (key_node, value_node), following in zip_longest(node.value, below):
            mark = _mark(key_node.start_mark, key_node.end_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(mark, written(path), "a key must be a word, not a list or mapping"))
                continue
            key = key_node.value
            here = (*path, key)
            if _SURROGATE.search(key):
                self.problems.append(Problem(mark, written(path), "the key holds half a character"))
                continue
            if key == "<<" and key_node.style is None:
                hint = "write the keys out at each place"
                self.problems.append(Problem(mark, written(here), "merge keys are not allowed", hint=hint))
                continue
            if (space := foreign_space(key, mark.line, mark.column)) is not None:
                self.problems.append(space)
                continue
            if here in self.key_marks:
                first = self.key_marks[here].line
                hint = "keep one of the two"
                self.problems.append(
                    Problem(mark, written(here), f"duplicate key, first on line {first}", hint=hint)
                )
                continue
            self.key_marks[here] = mark
            if following is not None and value_node.value == "" and value_node.style is None:
                self._followed_by[here] = str(following.value)
            value = self.build(value_node, here)
            if value is not None:
                values[key] = value
        return values

    def _scalar(self, node: yaml.Node, path: Path) -> Value | None:
        text: str = node.value
        kind = node.tag.rpartition(":")[2]
        problem = ""
        hint = ""
        if kind == "null":
            # A key with nothing behind it is an unfinished edit; taking it for a default would hide that.
            problem, hint = "no value", _hint_of_no_value(path, self._followed_by.get(path))
        elif kind in {"int", "float"} and sum(c.isalnum() for c in text) > _MAX_DIGITS:
            problem, hint = "a number with too many digits", f"at most {_MAX_DIGITS}"
        elif _SURROGATE.search(text):
            problem = "the text holds half a character"
        if problem:
            mark = self.marks[path] if text else self.key_marks.get(path, self.marks[path])
            self.problems.append(Problem(mark, written(path), problem, hint=hint))
            return None
        match kind:
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
            case "float":
                return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
            case _:
                return text


def _hint_of_no_value(path: Path, below: str | None) -> str:
    if path and isinstance(path[-1], int):
        return "give a value or remove the dash"
    key = str(path[-1]) if path else ""
    # Within braces `a:b` is a key of that name, and a comma ends an entry.
    name, colon, value = key.partition(":")
    if colon and name and value:
        return f"a space belongs behind the colon: `{shown(name)}: {shown(value)}`"
    if key[:1].isdigit():
        return "a comma begins another entry; decimals stand behind a point, such as 80.5"
    if below is not None:
        belongs = f"if `{shown(below)}` in the line below belongs to it, indent that by two spaces"
        return f"{belongs}; else give a value or remove the key"
    return "give a value or remove the key"


def _mark(start: Any, end: Any = None) -> Mark:
    # Any: PyYAML's stubs call every mark optional, although none is for text.
    width = end.column - start.column if end is not None and end.line == start.line else 1
    return Mark(start.line + 1, start.column + 1, max(1, width))


def _unprintable(error: ReaderError, text: str) -> Problem:
    code = error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")
    return Problem(
        place(text, error.position), "", "a character that YAML does not allow", f"U+{code:04X}", hint="remove it"
    )
