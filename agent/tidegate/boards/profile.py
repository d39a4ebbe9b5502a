"""Board profiles from files: ready ones by name, others by path."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.boards.device import Device
from tidegate.boards.document import BoardDocument
from tidegate.documents import WHOLE, Document, DocumentError, Problem, parse, read, validate
from tidegate.documents.problem import shown
from tidegate.paths import profiles_directory
from tidegate.policy.board import Board
from tidegate.policy.schema import load_layers
from tidegate.quantities.units import LIMITS


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known of a board, and from where."""

    fact: str
    source: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A board profile: what policies take from it, and how it is simulated."""

    title: str
    facts: tuple[Fact, ...]
    board: Board
    device: Device


def ready_profiles() -> list[str]:
    """The names of the profiles that come with tidegate."""
    return sorted(path.stem for path in (profiles_directory() / "boards").glob("*.yaml"))


def find_profile(name: str) -> Profile:
    """The profile of a ready board's name or of a path that ends in .yaml. Raises DocumentError."""
    if name.endswith(".yaml"):
        return load_profile(read(Path(name)), name)
    known = ready_profiles()
    if name not in known:
        near = _nearest(name, known)
        problem = Problem(
            WHOLE, "", "no such board profile", "", f"{', '.join(known)}, or a path that ends in .yaml", near
        )
        raise DocumentError(f"board {shown(name)}", "", [problem])
    path = profiles_directory() / "boards" / f"{name}.yaml"
    return load_profile(read(path), str(path))


def _nearest(name: str, known: Sequence[str]) -> str:
    """The known name most like it, whatever the letters' size and what stands between the words."""
    plain = re.sub(r"[ ._]+", "-", name[:64].strip().lower())
    return next(iter(difflib.get_close_matches(plain, known, 1)), "")


def load_profile(text: str, name: str) -> Profile:
    """The profile in a text; `name` is the file named in messages. Raises DocumentError."""
    document = parse(text, name)
    limits = document.value.get("limits") if isinstance(document.value, dict) else None
    context = {LIMITS: limits} if isinstance(limits, dict) else {}
    part = validate(document, BoardDocument, context)
    board = Board(part.name, part.limits, part.zones, _within(document, "policy") if part.policy else None)
    _check_defaults(board)
    facts = tuple(Fact(each.fact, each.source) for each in part.facts)
    return Profile(part.title, facts, board, part.device.device(part.name))


def _within(document: Document, key: str) -> Document:
    """The part of a document behind one key, with the marks that it has in the whole."""
    assert isinstance(document.value, dict)  # noqa: S101 - it has just been validated as one
    value = document.value[key]
    marks = {path[1:]: mark for path, mark in document.marks.items() if path[:1] == (key,)}
    key_marks = {path[1:]: mark for path, mark in document.key_marks.items() if path[:1] == (key,)}
    sources = {path[1:]: source for path, source in document.sources.items() if path[:1] == (key,)}
    return Document(document.name, document.text, value, marks, key_marks, sources)


_SMALLEST = "tidegate: 1\nname: any\nversion: 1\nmax_accuracy_loss: 100 %\n"


def _check_defaults(board: Board) -> None:
    """Raise DocumentError, in the profile, for defaults that no policy could hold."""
    if board.defaults is not None:
        load_layers(parse(_SMALLEST, "any policy"), board)
