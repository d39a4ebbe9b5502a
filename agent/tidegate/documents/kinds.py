"""The YAML documents there are, told apart by their keys: each is easily given in the place of another."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

from tidegate.documents.parse import Document
from tidegate.documents.problem import Mark, Problem


class Kind(StrEnum):
    """A kind of document, by the name it has in messages."""

    POLICY = "a policy"
    AGENT = "an agent.yaml"
    BOARD = "a board profile"


@dataclass(frozen=True, slots=True)
class _Sign:
    keys: Set[str]
    hint: str


_SIGNS: Mapping[Kind, _Sign] = {
    Kind.POLICY: _Sign(
        frozenset({"tidegate", "max_accuracy_loss", "rules", "default", "dwell", "no_fit", "on_missing"}),
        "check it with `tidegate policy check`; agent.yaml names it as `policy: FILE`",
    ),
    Kind.AGENT: _Sign(
        frozenset({"device", "bundle", "listen", "broker", "state_dir", "worker"}),
        "check it with `tidegate config check`; a policy is the file that it names as `policy`",
    ),
    Kind.BOARD: _Sign(
        frozenset({"title", "limits", "zones", "facts"}),
        "agent.yaml names it as `board: FILE`, and `policy check` takes it as --board FILE",
    ),
}
_LEAST = 2
"""Keys of another kind, and none of its own, that make a document one of that kind."""


def mistaken(document: Document, expected: Kind) -> Problem | None:
    """The problem of a document that is of another kind altogether; None for one that may be what is expected."""
    if not isinstance(document.value, dict):
        return None
    keys = document.value.keys()
    if keys & _SIGNS[expected].keys:
        return None
    for kind, sign in _SIGNS.items():
        if kind is not expected and len(keys & sign.keys) >= _LEAST:
            return Problem(Mark(1, 1), "", f"this is {kind}, not {expected}", hint=sign.hint)
    return None
