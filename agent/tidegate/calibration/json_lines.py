"""Files of JSON lines that grow while a calibration runs, and survive its being killed."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

_T = TypeVar("_T")


def whole_lines(path: Path, kind: TypeAdapter[_T]) -> list[_T]:
    """What a file's lines hold; none where there is no file.

    Lines from the first on that is not whole JSON of that kind are left out, and cut off the file.
    """
    found: list[_T] = []
    whole: list[str] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(kind.validate_json(line))
        except ValidationError:
            break
        whole.append(f"{line}\n")
    path.write_text("".join(whole))
    return found


def append_line(path: Path, line: bytes) -> None:
    """Write one line of JSON, without its line end, behind what the file holds."""
    with path.open("ab") as stream:
        stream.write(line + b"\n")
