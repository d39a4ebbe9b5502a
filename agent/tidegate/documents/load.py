"""Documents against pydantic models: the model, or located problems with what is allowed and what is near."""

import difflib
import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from tidegate.documents.kinds import Kind, mistaken
from tidegate.documents.parse import MAX_CHARACTERS, Document, parse
from tidegate.documents.problem import WHOLE, DocumentError, Mark, Path, Problem, place, shown, written
from tidegate.validation_words import in_words

Model = TypeVar("Model", bound=BaseModel)

_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_FORMS: Mapping[str, tuple[str, str]] = {
    "string_type": ("expected text", "text; put numbers in quotes"),
    "int_type": ("expected a whole number", "a whole number, without quotes"),
    "float_type": ("expected a number", "a number, without quotes and unit"),
    "bool_type": ("expected true or false", "true, false"),
    "list_type": ("expected a list", "[...] or lines that begin with `- `"),
    "tuple_type": ("expected a list", "[...] or lines that begin with `- `"),
    "dict_type": ("expected a mapping", "{key: value} or indented `key: value` lines"),
    "too_short": ("empty", "at least one entry"),
    "string_too_short": ("empty", "at least one character"),
    "model_type": ("expected a mapping", "{key: value} or indented `key: value` lines"),
}

_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false", "true": "true", "false": "false"}
_SAVE_AS = "save it as UTF-8; editors call that its encoding"
_UNKNOWN_KEY = "unknown key"
_OF_KEY = "[key]"
"""Pydantic's last part of the location of a mapping's key that is wrong itself."""
_REMEDIES: Mapping[int | None, str] = {
    errno.ENOENT: "create it, or name another file",
    errno.EISDIR: "name a file in this directory",
    errno.EACCES: "run as a user who may read it",
}


def read(path: FilePath) -> str:
    """The text of a file. Raises DocumentError when it can't be read, is no UTF-8, or is far too long."""
    try:
        with path.open("rb") as file:
            raw = file.read(4 * MAX_CHARACTERS + 1)
        if b"PRIVATE KEY-----" in raw:
            # Errors quote the line that they are about, and end up in logs.
            hint = "name the YAML file; a key is given with --key"
            problem = Problem(WHOLE, "", "a private key, and nothing of it is shown here", hint=hint)
        elif len(raw) <= 4 * MAX_CHARACTERS:
            return raw.decode()
        else:
            allowed = f"at most {MAX_CHARACTERS} characters"
            problem = Problem(Mark(1, 1), "", "the document is too long", allowed=allowed)
    except OSError as error:
        problem = Problem(
            WHOLE, "", f"can't be read: {error.strerror or error}", hint=_REMEDIES.get(error.errno, "")
        )
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode()
        problem = Problem(place(good, len(good)), "", "not UTF-8", f"byte 0x{raw[error.start]:02X}", hint=_SAVE_AS)
    raise DocumentError(str(path), "", [problem])


def load(text: str, name: str, model: type[Model], context: Mapping[str, object] | None = None) -> Model:
    """Parse and validate; `name` is the file named in messages, `context` goes to the model's validators.

    Raises DocumentError, with every problem found, and nothing else whatever the text.
    """
    return validate(parse(text, name), model, context)


def validate(document: Document, model: type[Model], context: Mapping[str, object] | None = None) -> Model:
    """Validate a document that is parsed already. Raises DocumentError."""
    try:
        return model.model_validate(document.value, context=dict(context or {}))
    except ValidationError as error:
        found = error.errors(include_url=False)
        # Entries that were refused leave their list too short: that is no mistake of its own.
        within = {details["loc"][:end] for details in found for end in range(len(details["loc"]))}
        wrong = [each for each in found if each["type"] != "too_short" or each["loc"] not in within]
        kind: Kind | None = getattr(model, "KIND", None)
        other = None if kind is None else mistaken(document, kind)
        problems = [_problem(details, document, model) for details in wrong] if other is None else [other]
        # A key that is only spelt wrong is not missing as well.
        meant = {_parent(each.path, each.nearest) for each in problems if each.message == _UNKNOWN_KEY}
        problems = [each for each in problems if each.found or each.path not in meant]
        raise DocumentError(document.name, document.text, problems) from None


def refuse(
    message: str, *, allowed: str = "", hint: str = "", nearest: str = "", at: Path = ()
) -> PydanticCustomError:
    """The error a model's validator raises to be printed as a Problem; `at` leads from the model to the value."""
    context = {"message": message, "allowed": allowed, "hint": hint, "nearest": nearest, "at": at}
    return PydanticCustomError("refused", "{message}", context)


def _problem(details: ErrorDetails, document: Document, model: type[BaseModel]) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    of_key = details["loc"][-1:] == (_OF_KEY,)
    location = details["loc"][:-1] if of_key else details["loc"]
    path = (*_path(document.value, location), *context.get("at", ()))
    hint = _description(model, path)
    bare = Problem(_nearest_mark(document, path), written(path), "", _found(document, path))
    if of_key:
        bare = replace(bare, mark=document.key_marks.get(path, bare.mark), found=shown(str(path[-1])))
    match kind:
        case "extra_forbidden":
            keys = sorted({key for owner in _models_at(model, path[:-1]) for key in _fields(owner)})
            key = str(path[-1])
            mark = document.key_marks.get(path, bare.mark)
            spelt = key.lower().replace("-", "_")
            near, hint = _nearest(spelt, keys), ""
            for owner in _models_at(model, path[:-1]):
                hint = getattr(owner, "OTHER_WORDS", {}).get(spelt, hint)
            if not hint and near != spelt and (homes := _homes(model, path[:-1], spelt)):
                hint = f"`{spelt}` is a key of {' or '.join(homes)}: check the indentation"
            return Problem(mark, bare.path, _UNKNOWN_KEY, shown(key), ", ".join(keys), "" if hint else near, hint)
        case "missing":
            return replace(bare, message=f"missing key `{path[-1]}`", found="", hint=hint)
        case "refused":
            facts = {name: context[name] for name in ("message", "allowed", "nearest", "hint")}
            return replace(bare, **facts)
        case "literal_error":
            words = [word or number for word, number in re.findall(r"'([^']*)'|(\d+)", context["expected"])]
            near = _nearest(str(details["input"]), words)
            said = "not one of the allowed words"
            return replace(bare, message=said, allowed=", ".join(words), nearest=near, hint=hint)
        case _ if kind in _BOUNDS:
            key, side = _BOUNDS[kind]
            bound = f"{context[key]:g}" if isinstance(context[key], float) else context[key]
            bare = replace(bare, message="out of range", allowed=f"{side} {bound}")
        case _ if kind in _FORMS:
            message, form = _FORMS[kind]
            # In YAML 1.1 they are true and false, and many other tools take them.
            meant = _SWITCHES.get(str(details["input"]).lower()) if kind == "bool_type" else None
            said = "" if meant is None else f"write `{meant}`" + ", without quotes" * (meant == details["input"])
            if kind == "model_type":
                said = _as_mapping(details["input"], [] if hint or not path else _models_at(model, path))
            return replace(bare, message=message, allowed=hint or form, hint=said)
        case _:
            bare = replace(bare, message=in_words(details["msg"]))
    return replace(bare, hint=hint)


def _homes(model: type[BaseModel], path: Path, key: str) -> list[str]:
    """Where a key that is wrong at a path is right: around that place, or one level below it; three at most."""
    around = [
        f"`{written(path[:end])}`" if end else "the document itself"
        for end in range(len(path) - 1, -1, -1)
        if isinstance(path[end], str) and any(key in _fields(owner) for owner in _models_at(model, path[:end]))
    ]
    below = [
        f"`{name}`"
        for owner in _models_at(model, path)
        for name, info in _fields(owner).items()
        if any(key in _fields(inner) for inner in _models_in(info.annotation))
    ]
    return [*around, *below][:3]


def _as_mapping(found: Any, owners: Sequence[type[BaseModel]]) -> str:
    """How what was found would be written as the mapping that is meant; empty where that can't be told."""
    if isinstance(found, list):
        return "remove the dash" + "es" * (len(found) > 1) if all(isinstance(each, dict) for each in found) else ""
    keys = {name: info.is_required() for owner in owners for name, info in _fields(owner).items()}
    name, colon, value = str(found).partition(":")
    if colon and name in keys and value:
        return f"a space belongs behind the colon: `{name}: {shown(value)}`"
    needed = [name for name, is_needed in keys.items() if is_needed]
    if isinstance(found, str) and len(needed) == 1 and not colon:
        return f"write `{{{needed[0]}: {shown(found)}}}`"
    return f"its keys are {', '.join(keys)}" if keys else ""


def _path(value: Any, location: tuple[str | int, ...]) -> Path:
    """The way through the document. Pydantic puts the chosen branch of a union into it, ours as `<name>`."""
    path: list[str | int] = []
    for part in location:
        known = (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int))
        # A key may look like a branch (YAML's merge key does): what stands in the document is a key.
        if not known and str(part).startswith("<"):
            continue
        path.append(part)
        value = value[part] if known else None
    return tuple(path)


def _parent(path: str, key: str) -> str:
    """The path of a key's neighbour."""
    before = path.rpartition(".")[0]
    return f"{before}.{key}" if before else key


def _nearest_mark(document: Document, path: Path) -> Mark:
    """Where the path stands, or the innermost key that leads to it; the first line for a missing top-level key."""
    if path in document.marks:
        return document.marks[path]
    for end in range(len(path) - 1, 0, -1):
        mark = document.key_marks.get(path[:end]) or document.marks.get(path[:end])
        if mark is not None:
            return mark
    return Mark(document.marks[()].line, document.marks[()].column)


def _found(document: Document, path: Path) -> str:
    if path in document.sources:
        return document.sources[path]
    value: Any = document.value
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ""
    kind = "list" if isinstance(value, list) else "mapping"
    return f"a {kind}" if value else f"an empty {kind}"


def _nearest(word: str, words: list[str]) -> str:
    return next(iter(difflib.get_close_matches(word[:60], words, 1)), "")


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _description(model: type[BaseModel], path: Path) -> str:
    if not path or isinstance(path[-1], int):
        return ""
    for owner in _models_at(model, path[:-1]):
        info = _fields(owner).get(path[-1])
        if info is not None:
            return info.description or ""
    return ""


def _models_at(model: type[BaseModel], path: Path) -> list[type[BaseModel]]:
    """The models that may stand at a path: one, or several where a field is a union."""
    models = [model]
    for part in path:
        if isinstance(part, str):
            infos = [_fields(owner)[part] for owner in models if part in _fields(owner)]
            models = [inner for info in infos for inner in _models_in(info.annotation)]
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Union, UnionType, list, tuple, dict}:
        for inner in get_args(annotation):
            yield from _models_in(inner)
    elif get_origin(annotation) is Annotated:
        yield from _models_in(get_args(annotation)[0])
