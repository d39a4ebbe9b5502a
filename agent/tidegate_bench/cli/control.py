"""`tidegate bench control` and `decide`."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail
from tidegate.errors import EX_DATAERR
from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show
from tidegate_bench.control import bench
from tidegate_bench.control import decide as decide_bench
from tidegate_bench.control.page import page
from tidegate_drivers.trace import TraceError


def control(
    as_json: JsonOption = False,
    quick: QuickOption = False,
    seed: Annotated[int | None, typer.Option(help="Play fresh traces of this seed too.")] = None,
    traces: Annotated[int, typer.Option(min=1, help="How many fresh traces.")] = 8,
    trace: Annotated[list[Path] | None, typer.Option(help="Play this trace too; may be given again.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write charts and figures as one page.")] = None,
) -> None:
    """The controller against the best possible, and against what people use instead, over simulated days."""
    try:
        figures = bench.run(quick=quick, seed=seed, traces=traces, files=trace or ())
    except TraceError as error:
        fail(str(error), EX_DATAERR)
    if html is not None:
        html.write_text(page(figures), encoding="utf-8")
        progress(f"wrote {html}")
    show(figures, as_json)


def decide(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """What one decision costs, and one simulated day."""
    show(decide_bench.run(quick=quick), as_json)
