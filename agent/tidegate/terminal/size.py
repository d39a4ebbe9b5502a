"""How much room there is: what the terminal itself says now, not what the environment said when it was opened."""

import os
from contextlib import suppress

from rich.console import Console

_WIDER = 4
"""Columns that a line may gain where a terminal can't show `…` and `≤`, which then are `...` and `<=`."""


def terminal_size(console: Console) -> os.terminal_size | None:
    """Columns and lines to fill of the terminal that the console writes to; None for a pipe or a file."""
    if not console.file.isatty():
        return None
    size = os.terminal_size(console.size)
    with suppress(OSError, ValueError):
        told = os.get_terminal_size(console.file.fileno())
        size = told if told.columns and told.lines else size
    if console.encoding.startswith("utf"):
        return size
    return os.terminal_size((max(size.columns - _WIDER, 1), size.lines))


def columns(console: Console) -> int | None:
    """The columns to keep to; None for a pipe or a file, which has no width unless COLUMNS asks for one."""
    size = terminal_size(console)
    if size is not None:
        return size.columns
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdigit() and int(asked) else None
