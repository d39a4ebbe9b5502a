"""`tidegate bench soak`."""

from typing import Annotated

import typer

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show
from tidegate_bench.soak import bench

MinutesOption = Annotated[float, typer.Option("--minutes", min=1.0, max=10_080.0, help="How long to keep at it.")]


def soak(minutes: MinutesOption = 30.0, as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """An agent under load, switches, pushes, kills and scarce memory: what fails, and whether it grows."""
    show(bench.run(minutes=minutes, quick=quick, progress=progress), as_json)
