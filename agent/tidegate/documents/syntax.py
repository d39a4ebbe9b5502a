"""What is wrong in a text that is no YAML, in the words of whoever wrote it: PyYAML's are those of its parser."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from tidegate.documents.problem import LINE_BREAK, Mark, Problem, shown

_NO_SPACE_BEHIND_COLON = re.compile(r"\s*(?:- )?(?P<key>[\w-]+):(?P<value>[^\s/:].*)")
_NO_SPACE_BEHIND_DASH = re.compile(r"\s*-(?P<rest>[^\s-].*)")
_EQUALS = re.compile(r"\s*(?:- )?(?P<key>[\w-]+)\s*=\s*(?P<value>\S.*)")
_TWO_COLONS = re.compile(r"\s*(?:- )?(?P<key>[\w-]+): (?P<value>[^'\"{\[].*: .*)")
_ITEM = re.compile(r"\s*- ")
_NO_START = re.compile(r"found character '(.)' that cannot start any token")
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}?")
_FOREIGN_SPACE = re.compile("[\u00a0\u2000-\u200b\u202f\u3000]")


@dataclass(frozen=True, slots=True)
class _Fault:
    """PyYAML's error: `at` is where it stopped, and `begun` where what it was reading began (`reading`)."""

    message: str
    at: Mark
    reading: str
    begun: Mark | None
    lines: Sequence[str]

    def line(self, number: int) -> str:
        """A line by its number from 1; empty where there is none."""
        return self.lines[number - 1] if 1 <= number <= len(self.lines) else ""


def syntax_problem(error: yaml.MarkedYAMLError, fallback: yaml.Mark, text: str) -> Problem:
    """The problem of a text that could not be parsed; `fallback` is the mark where PyYAML names none."""
    fault = _Fault(
        error.problem or "not YAML",
        _place(error.problem_mark or error.context_mark or fallback),
        error.context or "",
        None if error.context_mark is None else _place(error.context_mark),
        LINE_BREAK.split(text),
    )
    known = (
        _tab,
        _foreign_space,
        _open_quote,
        _escape,
        _no_start,
        _second_document,
        _placeholder,
        _commas,
        _open_bracket,
        _behind_quote,
        _no_colon,
        _value_in_value,
        _indentation,
    )
    return next((problem for look in known if (problem := look(fault)) is not None), _as_it_is(fault))


def foreign_space(text: str, line: int, column: int) -> Problem | None:
    """The problem of the first space in `text`, which begins there, that looks like one and is none to YAML."""
    found = _FOREIGN_SPACE.search(text)
    if found is None:
        return None
    message = f"a space that YAML does not take for one (U+{ord(found[0]):04X})"
    hint = "replace it by an ordinary space; text from web pages and documents brings such"
    return Problem(Mark(line, column + found.start()), "", message, hint=hint)


def _tab(fault: _Fault) -> Problem | None:
    if "'\\t'" not in fault.message:
        return None
    return Problem(fault.at, "", "a tab where YAML allows only spaces", hint="indent with spaces")


def _foreign_space(fault: _Fault) -> Problem | None:
    begun = fault.at if fault.begun is None else fault.begun
    found = (foreign_space(fault.line(mark.line), mark.line, 1) for mark in (begun, fault.at))
    return next((problem for problem in found if problem is not None), None)


def _open_quote(fault: _Fault) -> Problem | None:
    if fault.begun is None or "quoted scalar" not in fault.reading or "end of stream" not in fault.message:
        return None
    return Problem(fault.begun, "", "a quote that is never closed", hint="close it on the same line")


def _escape(fault: _Fault) -> Problem | None:
    if "double-quoted scalar" not in fault.reading or "escape" not in fault.message:
        return None
    hint = "put the text in single quotes, where a backslash is itself, or write `\\\\`"
    return Problem(fault.at, "", "a backslash in double quotes begins an escape, and this is none", hint=hint)


def _no_start(fault: _Fault) -> Problem | None:
    match = _NO_START.search(fault.message)
    if match is None:
        return None
    hint = "put the text in quotes"
    return Problem(fault.at, "", f"no value begins with `{match[1]}` unless it is in quotes", hint=hint)


def _second_document(fault: _Fault) -> Problem | None:
    if "found another document" not in fault.message:
        return None
    hint = "remove it, or put what follows into a file of its own"
    return Problem(fault.at, "", "a second document; a file holds one", "---", hint=hint)


def _placeholder(fault: _Fault) -> Problem | None:
    found = _PLACEHOLDER.search(fault.line(fault.begun.line)) if fault.begun is not None else None
    if found is None or fault.begun is None or "parsing a flow" not in fault.reading:
        return None
    mark = Mark(fault.begun.line, found.start() + 1, len(found[0]))
    return Problem(mark, "", "nothing is filled in for `${...}`", shown(found[0]), hint="write the value itself")


def _commas(fault: _Fault) -> Problem | None:
    if "flow node" not in fault.reading or "','" not in fault.message:
        return None
    return Problem(fault.at, "", "a comma with nothing in front of it", hint="remove it")


def _behind_quote(fault: _Fault) -> Problem | None:
    before = fault.line(fault.at.line)[: fault.at.column - 1]
    if "found '<scalar>'" not in fault.message or before[-1:] not in {"'", '"'}:
        return None
    hint = "put the whole text in quotes of the other kind: an apostrophe in double ones, those in single ones"
    return Problem(fault.at, "", "text behind the quote that closes", hint=hint)


def _open_bracket(fault: _Fault) -> Problem | None:
    if fault.begun is None or "parsing a flow" not in fault.reading:
        return None
    opened, closing = ("{", "}") if "mapping" in fault.reading else ("[", "]")
    hint = f"close it with `{closing}`, or put what stands in it in quotes"
    return Problem(fault.begun, "", f"`{opened}` is not closed", hint=hint)


def _no_colon(fault: _Fault) -> Problem | None:
    if fault.begun is None or "could not find expected ':'" not in fault.message:
        return None
    line = fault.line(fault.begun.line)
    equals = _EQUALS.fullmatch(line)
    if equals is not None:
        hint = f"write `{shown(equals['key'] + ': ' + equals['value'])}`"
        return Problem(fault.begun, "", "an equals sign in the place of a colon", hint=hint)
    hint = "every line is `key: value`, or begins with `- `"
    return _close_colon(fault, fault.begun.line) or Problem(fault.begun, "", "a line without a key", hint=hint)


def _value_in_value(fault: _Fault) -> Problem | None:
    if "mapping values are not allowed" not in fault.message:
        return None
    # What is wrong may stand in the line before.
    for number in (fault.at.line - 1, fault.at.line):
        known = _close_dash(fault, number) or _close_colon(fault, number)
        if known is not None:
            return known
    line, before = fault.line(fault.at.line), fault.line(fault.at.line - 1)
    two = _TWO_COLONS.fullmatch(line)
    if two is not None:
        hint = f'put the text in quotes: `{two["key"]}: "{shown(two["value"])}"`'
        return Problem(Mark(fault.at.line, two.start("value") + 1), "", "a colon within a value", hint=hint)
    if not before.strip() or before.rstrip().endswith(":"):
        return None
    indent, item = len(line) - len(line.lstrip()), _ITEM.match(before)
    hint = "indent it like that line, or leave that line's value out"
    if item is not None:
        hint = (
            f"line {fault.at.line} is indented by {indent}, what stands behind the dash above it by {item.end()}"
        )
    return Problem(
        Mark(fault.at.line, indent + 1), "", "indented below a line that has its value already", hint=hint
    )


def _close_colon(fault: _Fault, line: int) -> Problem | None:
    match = _NO_SPACE_BEHIND_COLON.fullmatch(fault.line(line))
    if match is None:
        return None
    hint = f"write `{shown(match['key'] + ': ' + match['value'])}`"
    return Problem(Mark(line, match.start("value") + 1), "", "a space is missing behind the colon", hint=hint)


def _close_dash(fault: _Fault, line: int) -> Problem | None:
    match = _NO_SPACE_BEHIND_DASH.fullmatch(fault.line(line))
    if match is None:
        return None
    hint = f"write `- {shown(match['rest'])}`"
    return Problem(Mark(line, match.start("rest") + 1), "", "a space is missing behind the dash", hint=hint)


def _indentation(fault: _Fault) -> Problem | None:
    if fault.begun is None or "expected <block end>" not in fault.message or fault.at.line <= fault.begun.line:
        return None
    # An item's keys stand behind its dash.
    item = _ITEM.match(fault.line(fault.begun.line))
    is_item = fault.line(fault.at.line).lstrip().startswith("- ")
    inside = "block mapping" in fault.reading or not is_item
    column = item.end() if item is not None and inside else fault.begun.column - 1
    hint = f"line {fault.at.line} is indented by {fault.at.column - 1}, what it belongs to by {column}"
    return Problem(fault.at, "", "not YAML: the indentation fits nothing above", hint=hint)


def _as_it_is(fault: _Fault) -> Problem:
    hint = fault.reading
    if fault.begun is not None and fault.begun.line != fault.at.line:
        hint += f" that began in line {fault.begun.line}"
    return Problem(fault.at, "", shown(f"not YAML: {fault.message}", 200), hint=shown(hint, 200))


def _place(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1, 1)
