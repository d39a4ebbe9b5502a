"""How every benchmark shows its figures, and the options they share."""

import sys
from typing import Annotated

import typer

from tidegate.cli.console import err, out
from tidegate_bench.figures import Figures

JsonOption = Annotated[bool, typer.Option("--json", help="Only the JSON line.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="A first look in under a minute.")]


def show(figures: Figures, as_json: bool) -> None:
    """Tables for a person, then the JSON line."""
    if not as_json:
        figures.print_tables(out)
    sys.stdout.write(figures.to_json() + "\n")


def progress(text: str) -> None:
    """A line of what a long benchmark is at, away from its results."""
    err.print(text, style="dim", markup=False)
