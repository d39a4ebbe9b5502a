"""Labels of kept frames, beside them: a count on another runtime finds them again, and they go with the frames."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from tidegate.files import read_file, replace_file

FILE_NAME = "labels.json"


def read_kept_labels(directory: Path) -> Mapping[str, int]:
    """Class numbers by the frames' names; none where the file is missing or damaged."""
    with suppress(OSError, ValueError):
        found = json.loads(read_file(directory / FILE_NAME))
        if isinstance(found, dict):
            return {name: label for name, label in found.items() if isinstance(label, int) and label >= 0}
    return {}


def write_kept_labels(directory: Path, labels: Mapping[str, int], frames: Collection[str]) -> None:
    """Those of frames that are still there, with what was known before. Raises OSError."""
    known = {**read_kept_labels(directory), **labels}
    kept = {name: label for name, label in sorted(known.items()) if name in frames}
    replace_file(directory / FILE_NAME, json.dumps(kept), synced=False, mode=0o600)
