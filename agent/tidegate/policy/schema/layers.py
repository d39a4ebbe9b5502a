"""Layers of policy: what a policy leaves out comes from the one below it, and at last from the board's profile."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.documents import Document, DocumentError, Mark, parse, validate
from tidegate.documents.problem import Path, written
from tidegate.policy.board import Board
from tidegate.policy.policy import Policy
from tidegate.policy.schema.document import PolicyDocument
from tidegate.quantities.units import LIMITS

_MERGED = frozenset({"dwell", "on_missing", "goals", "drift_guard"})
"""Mappings that are filled up key by key; anything else belongs together and is taken whole from one layer."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value of a layered policy stands."""

    path: str
    value: str
    file: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Layered:
    """A policy out of layers; `origins` has every scalar, in the order of the keys."""

    policy: Policy
    origins: tuple[Origin, ...]


def load_policy(text: str, name: str, board: Board | None = None, below: Sequence[Document] = ()) -> Policy:
    """The policy in a text; `name` is the file named in messages. Raises DocumentError for any other text.

    `below` are the layers under it, lowest first; the board's defaults lie under those.
    """
    return load_layers(parse(text, name), board, below).policy


def load_layers(top: Document, board: Board | None = None, below: Sequence[Document] = ()) -> Layered:
    """The policy that a document makes with the layers below it. Raises DocumentError, in the layer at fault."""
    defaults = [] if board is None or board.defaults is None else [board.defaults]
    layers = [*defaults, *below, top]
    zones = {} if board is None else board.zones
    context = {} if board is None else {LIMITS: board.limits}
    if len(layers) == 1 or not isinstance(top.value, dict):
        return Layered(validate(top, PolicyDocument, context).policy(zones), tuple(_origins(_Merge([top]))))
    # A document that is wrong by itself is told so without regard to the layers below.
    validate(top, PolicyDocument, context)
    merge = _Merge(layers)
    try:
        policy = validate(merge.document(), PolicyDocument, context).policy(zones)
    except DocumentError as error:
        raise merge.in_its_layer(error) from None
    return Layered(policy, tuple(_origins(merge)))


class _Merge:
    """Documents laid over one another, lowest first, and which of them each key comes from."""

    def __init__(self, layers: Sequence[Document]) -> None:
        self.value: dict[str, Any] = {}
        self._layers = layers
        self._owners: dict[Path, Document] = {}
        for layer in layers:
            assert isinstance(layer.value, dict)  # noqa: S101 - a document that validated is a mapping
            for key, value in layer.value.items():
                self._lay(layer, key, value)

    def _lay(self, layer: Document, key: str, value: Any) -> None:
        if key in _MERGED and isinstance(value, dict):
            self.value[key] = self.value.get(key, {}) | value
            self._owners |= {(key, inner): layer for inner in value}
        else:
            self.value[key] = value
            self._owners[key,] = layer

    def owner(self, path: Path) -> Document:
        """The document that a path comes from; the topmost for what stands in none."""
        return self._owners.get(path[:2]) or self._owners.get(path[:1]) or self._layers[-1]

    def document(self) -> Document:
        """The whole, each path marked where it stands in its own document."""
        top = self._layers[-1]
        parts: list[dict[Path, Any]] = [{}, {}, {}]
        for layer in self._layers:
            for part, of_layer in zip(parts, (layer.marks, layer.key_marks, layer.sources), strict=True):
                part |= {path: value for path, value in of_layer.items() if self.owner(path) is layer}
        return Document(top.name, top.text, self.value, *parts)

    def _key(self, text: str) -> Path:
        """The key, of one or two parts, that a path as it is written leads through."""
        keys = [key for key in self._owners if re.match(re.escape(written(key)) + r"(?![^.\[])", text)]
        return max(keys, key=len, default=())

    def in_its_layer(self, error: DocumentError) -> DocumentError:
        """The error with the problems of one document, and that document's name and text."""
        owners = {each: self.owner(self._key(each.path)) for each in error.problems}
        owner = owners[error.problems[0]]
        return DocumentError(owner.name, owner.text, [each for each in error.problems if owners[each] is owner])


def _origins(merge: _Merge) -> Iterator[Origin]:
    document = merge.document()
    for path, source in document.sources.items():
        yield Origin(written(path), source, merge.owner(path).name, document.marks[path])
