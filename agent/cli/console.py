"""Where messages go: results to standard output, everything else to standard error; exit codes by sysexits(3)."""

from typing import NoReturn

import typer
from rich.console import Console

EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
EX_CONFIG = 78

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def fail(message: str, code: int) -> NoReturn:
    """Say what went wrong on standard error and end with `code`."""
    err.print(message, markup=False, soft_wrap=True)
    raise typer.Exit(code)
