"""`tidegate bench NAME`: every published figure. A missed goal exits 0; only a broken benchmark does not."""

import sys
from typing import Annotated

import typer

from agent.bench import demo as demo_bench
from agent.bench.figures import Figures
from agent.cli.build_progress import BuildProgress
from agent.cli.console import EX_UNAVAILABLE, fail, out

app = typer.Typer(help="Measure what the documentation states.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Only the JSON line.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="A first look in under a minute.")]


def show(figures: Figures, as_json: bool) -> None:
    """Tables for a person, then the JSON line."""
    if not as_json:
        figures.print_tables(out)
    sys.stdout.write(figures.to_json() + "\n")


@app.command("ladder")
def ladder(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Gating rules at equal operations on four small nets, and what is certified of the ladder."""
    try:
        from agent.bench import ladder as ladder_bench  # noqa: PLC0415 - needs torch and scikit-learn
    except ModuleNotFoundError as error:
        fail(f"{error.name} is missing; run ./install.sh dev", EX_UNAVAILABLE)
    with BuildProgress() as progress:
        figures = ladder_bench.run(quick=quick, progress=progress)
    show(figures, as_json)


@app.command("demo")
def demo(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """The demo's summary, held against its goals."""
    try:
        show(demo_bench.run(quick=quick), as_json)
    except demo_bench.BenchError as error:
        fail(str(error), 1)
