"""Contents of files as magika takes them: pieces of what Python's own installation ships, of every kind alike."""

import sysconfig
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

HALF, PADDING = 1024, 256
"""Bytes of a file's beginning and of its end, and what stands for none."""
LEAST, MOST = 64, 16_384
"""Bytes of a piece."""


def contents(n: int, seed: int) -> npt.NDArray[np.int64]:
    """(n, 2048): what stands at the beginning and at the end of a piece, without blanks around it.

    Kinds are drawn alike by what names end in, then a file of the kind, then a piece from its beginning.
    """
    rng = np.random.default_rng(seed)
    kinds = _by_kind()
    found = np.full((n, 2 * HALF), PADDING, np.int64)
    for row in found:
        piece = b""
        while len(piece) < LEAST:
            files = kinds[rng.integers(len(kinds))]
            with files[rng.integers(len(files))].open("rb") as stream:
                piece = stream.read(int(rng.integers(LEAST, MOST))).strip()
        first, last = piece[:HALF], piece[-HALF:]
        row[: len(first)] = np.frombuffer(first, np.uint8)
        row[len(row) - len(last) :] = np.frombuffer(last, np.uint8)
    return found


@cache
def _by_kind() -> list[list[Path]]:
    """Files of the standard library and of what is installed beside it, by kind; none that runs write."""
    kinds: dict[str, list[Path]] = {}
    for place in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_paths()[place]).rglob("*.*")):
            if "__pycache__" not in path.parts and path.is_file() and path.stat().st_size > LEAST:
                kinds.setdefault(path.suffix, []).append(path)
    return [files for _, files in sorted(kinds.items())]
