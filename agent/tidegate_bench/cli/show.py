"""How every benchmark shows its figures, and the options they share."""

import sys
from typing import Annotated

import typer

from tidegate.cli.console import err, out
from tidegate_bench.figures import Figures

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON line in the place of tables.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="A first look in under a minute.")]


def show(figures: Figures, as_json: bool) -> None:
    """Tables for a person, or one JSON line for a program."""
    if as_json:
        sys.stdout.write(figures.to_json() + "\n")
    else:
        figures.print_tables(out)


def progress(text: str) -> None:
    """A line of what a long benchmark is at, away from its results."""
    err.print(text, style="dim", markup=False)
