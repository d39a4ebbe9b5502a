"""Which schema a state directory has, and which version of tidegate wrote it, as its file `schema` states."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tidegate.files import read_file, set_aside
from tidegate.supervisor.state_schema.migrations import SCHEMA

FILE_NAME = "schema"


@dataclass(frozen=True, slots=True)
class Stated:
    """`written_by` is the folder of the version's environment, such as 0.3.0-1a2b3c4d; None outside of such."""

    schema: int
    written_by: str | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file holds something else, and has been put aside where that was possible."""

    why: str


OURS = Stated(SCHEMA, re.sub(r"[^A-Za-z0-9._+-]|^\.+", "", Path(sys.prefix).name) or None)


def read_stated(state_dir: Path) -> Stated | Unreadable:
    """Schema 1 had no such file."""
    path = state_dir / FILE_NAME
    try:
        found = json.loads(read_file(path, 4096))
        schema, written_by = found["schema"], found["written_by"]
    except FileNotFoundError:
        return Stated(1, None)
    except OSError as error:
        return Unreadable(f"{path}: {error.strerror}")
    except (LookupError, TypeError, ValueError, RecursionError):
        return _damaged(path)
    if type(schema) is not int or not 1 <= schema < 1 << 31:
        return _damaged(path)
    named = isinstance(written_by, str) and re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,127}", written_by)
    return Stated(schema, written_by if named else None)


def as_bytes(stated: Stated) -> bytes:
    """The content of the file."""
    return json.dumps({"schema": stated.schema, "written_by": stated.written_by}).encode() + b"\n"


def _damaged(path: Path) -> Unreadable:
    try:
        return Unreadable(f"{path}: damaged; it is kept as {set_aside(path).name}")
    except OSError as error:
        return Unreadable(f"{path}: damaged, and can't be moved aside: {error.strerror}")
