"""How much room there is: what the terminal itself says now, not what the environment said when it was opened."""

import os
from contextlib import suppress

from rich.console import Console


def terminal_size(console: Console) -> os.terminal_size | None:
    """Columns and lines of the terminal that the console writes to; None for a pipe or a file."""
    if not console.file.isatty():
        return None
    with suppress(OSError, ValueError):
        size = os.get_terminal_size(console.file.fileno())
        if size.columns and size.lines:
            return size
    return os.terminal_size(console.size)


def columns(console: Console) -> int | None:
    """The columns to keep to; None for a pipe or a file, which has no width unless COLUMNS asks for one."""
    size = terminal_size(console)
    if size is not None:
        return size.columns
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdigit() and int(asked) else None
