"""A change of several files as one: written down whole first, so that a stop at any moment loses none of it."""

import errno
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tidegate.files import clear_way, read_file, replace_file, set_aside
from tidegate.supervisor.state_schema.migrations import Files

REDO = "migration.json"
_NAME = re.compile(r"(schema-[0-9]{1,9}/)?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_LARGEST_BYTES = 1 << 20
_LARGEST_REDO_BYTES = 64 << 20
"""Of a few files with their copies, six characters for each byte that is no text."""
_NOT_OURS = frozenset({errno.EFBIG, errno.EACCES, errno.EPERM})
"""What reading it can fail with for ever, where another hand has put it there."""


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
        document = json.loads(read_file(state_dir / REDO, _LARGEST_REDO_BYTES))
        write = {_checked(name): _bytes(text) for name, text in document["write"].items()}
        remove = tuple(_checked(name) for name in document["remove"])
    except FileNotFoundError:
        return
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
        # It is replaced whole, so that only another hand can have broken it; the files themselves are untouched.
        write, remove = {}, ()
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        write, remove = {}, ()
    for name, content in write.items():
        _clear_folder((state_dir / name).parent)
        replace_file(state_dir / name, content)
    for name in remove:
        clear_way(state_dir / name)
        (state_dir / name).unlink(missing_ok=True)
    (state_dir / REDO).unlink()


def read_files(directory: Path, names: tuple[str, ...]) -> Mapping[str, bytes]:
    """Those of the plain files that are there and can be read."""
    found = {}
    for name in names:
        with suppress(OSError):
            found[name] = read_file(directory / name, _LARGEST_BYTES)
    return found


def _checked(name: str) -> str:
    """Raises ValueError for a name that no migration writes: it may lead out, or can be no file's."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(name)
    return name


def _clear_folder(folder: Path) -> None:
    """Rename what stands where the folder belongs, a file or a link to nothing. Raises OSError."""
    if folder.is_dir() or not os.path.lexists(folder):
        return
    if folder.is_file():
        set_aside(folder)
    else:
        clear_way(folder)


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
