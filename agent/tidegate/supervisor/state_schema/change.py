"""A change of several files as one: written down whole first, so that a stop at any moment loses none of it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tidegate.files import clear_way, read_file, replace_file
from tidegate.supervisor.state_schema.migrations import Files

REDO = "migration.json"


@dataclass(frozen=True, slots=True)
class Change:
    """Contents to write and names to remove, relative to the state directory."""

    write: Files
    remove: tuple[str, ...]


def change_between(before: Files, after: Files, *, kept_in: str) -> Change:
    """From one set of files to another; what is replaced or removed is copied to the folder `kept_in`."""
    changed = {name: content for name, content in after.items() if before.get(name) != content}
    gone = tuple(name for name in before if name not in after)
    kept = {f"{kept_in}/{name}": before[name] for name in (*changed, *gone) if name in before}
    return Change({**kept, **changed}, gone)


def make(state_dir: Path, change: Change) -> None:
    """Write down what is to be done, and do it. Raises OSError; what is left to do then is done by `finish`."""
    document = {"write": {name: _text(content) for name, content in change.write.items()}, "remove": change.remove}
    replace_file(state_dir / REDO, json.dumps(document))
    finish(state_dir)


def finish(state_dir: Path) -> None:
    """Do what an interrupted `make` has written down, if there is any. Raises OSError."""
    clear_way(state_dir / REDO)
    try:
        document = json.loads(read_file(state_dir / REDO))
        write = {_inside(name): _bytes(text) for name, text in document["write"].items()}
        remove = tuple(_inside(name) for name in document["remove"])
    except FileNotFoundError:
        return
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
        # It is replaced whole, so that only another hand can have broken it; the files themselves are untouched.
        write, remove = {}, ()
    for name, content in write.items():
        replace_file(state_dir / name, content)
    for name in remove:
        (state_dir / name).unlink(missing_ok=True)
    (state_dir / REDO).unlink()


def read_files(directory: Path, names: tuple[str, ...]) -> Mapping[str, bytes]:
    """Those of the plain files that are there and can be read."""
    found = {}
    for name in names:
        with suppress(OSError):
            found[name] = read_file(directory / name)
    return found


def _inside(name: str) -> str:
    """Raises ValueError for a name that leads out of the directory."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise ValueError(name)
    return name


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
