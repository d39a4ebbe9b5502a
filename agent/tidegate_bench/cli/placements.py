"""`tidegate bench placements`."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.meter_option import MeterOption
from tidegate_bench.cli.show import JsonOption, QuickOption, show


def placements(
    bundle: Annotated[Path | None, typer.Option("--bundle", help="A bundle; without it the shipped one.")] = None,
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="Only this engine; may be repeated.")
    ] = None,
    meter: MeterOption = None,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """Every engine and compute unit of this device: load, time, energy, agreement with the processor."""
    from tidegate_bench.placements import bench  # noqa: PLC0415 - loads engines

    show(bench.run(bundle, engine or (), meter, quick=quick), as_json)
