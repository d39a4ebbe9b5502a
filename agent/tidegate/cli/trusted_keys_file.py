"""The trusted keys in the text of agent.yaml, changed line by line, so that comments stay where they are. Pure."""

import re
from collections.abc import Sequence

from tidegate.documents import Document
from tidegate.trust.keys import PublicKey

SECTION = "trusted_keys"
_BLANK = re.compile(r"\s*(#.*)?")
_EMPTY = re.compile(rf"({SECTION}\s*:\s*)\[\s*\]")


def entry_lines(name: str, key: PublicKey, roles: Sequence[str]) -> list[str]:
    """The entry of a key as it stands in agent.yaml."""
    return [f"- name: {name}", f"  key: {key.text}", f"  roles: [{', '.join(roles)}]"]


def with_entry(document: Document, entry: Sequence[str]) -> str | None:
    """The text with one more entry behind the others; None where it is written in a way that can't be added to.

    The new lines end as the first one does.
    """
    ending = "\r" if document.text.partition("\n")[0].endswith("\r") else ""
    entry = [line + ending for line in entry]
    lines = document.text.split("\n")
    marks = document.marks
    if (SECTION,) not in document.key_marks:
        end = len(lines) - (lines[-1] == "")
        gap = [ending] if end and lines[end - 1].strip() else []
        last = [lines[end - 1].removesuffix("\r") + ending] if end else []
        return "\n".join([*lines[: end - 1], *last, *gap, f"{SECTION}:{ending}", *entry, ""])
    count = _entries(document)
    if not count:
        at = document.key_marks[SECTION,].line - 1
        opened = _EMPTY.sub(r"\1", lines[at], count=1).rstrip() + ending
        return "\n".join([*lines[:at], opened, *entry, *lines[at + 1 :]])
    at = marks[SECTION, count - 1].line - 1
    if (indent := _dash(lines[at])) is None:
        return None
    end = _end(lines, at, indent)
    return "\n".join([*lines[:end], *(" " * indent + line for line in entry), *lines[end:]])


def without_entry(document: Document, number: int) -> str | None:
    """The text without an entry; None where it is written in a way that can't be taken from."""
    lines = document.text.split("\n")
    at = document.marks[SECTION, number].line - 1
    if (indent := _dash(lines[at])) is None:
        return None
    kept = [*lines[:at], *lines[_end(lines, at, indent) :]]
    if _entries(document) == 1:
        head = document.key_marks[SECTION,].line - 1
        kept[head] = re.sub(rf"({SECTION}\s*:)", r"\1 []", kept[head], count=1)
    return "\n".join(kept)


def _entries(document: Document) -> int:
    value = document.value[SECTION] if isinstance(document.value, dict) else []
    return len(value) if isinstance(value, list) else 0


def _dash(line: str) -> int | None:
    """How far the dash of an entry is indented; None where the line doesn't begin with one."""
    indent = len(line) - len(line.lstrip(" "))
    return indent if line[indent : indent + 2] == "- " else None


def _end(lines: Sequence[str], at: int, indent: int) -> int:
    """The line after the last of the entry that begins in line `at`; comments behind it are not its own."""
    end = at + 1
    for number in range(at + 1, len(lines)):
        line = lines[number]
        if _BLANK.fullmatch(line):
            continue
        if len(line) - len(line.lstrip(" ")) <= indent:
            break
        end = number + 1
    return end
