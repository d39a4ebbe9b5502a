"""Small files replaced whole: a power cut leaves either the old content or the new, never a torn one."""

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    """Replace the file, and its directory if need be. On return it is on the disk.

    Raises OSError and then leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        # On a full disk a draft left behind takes the room that the next attempt needs.
        with suppress(OSError):
            draft.unlink()
        raise
    # The rename is durable only with the directory that holds it.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
