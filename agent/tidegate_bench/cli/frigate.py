"""`tidegate bench frigate`."""

from typing import Annotated

import typer

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show

MinutesOption = Annotated[
    int, typer.Option("--minutes", min=1, max=10_080, help="How many minutes of Frigate's, compressed to seconds.")
]


def frigate(minutes: MinutesOption = 30, as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """A detector of Frigate's through policy switches, killed workers and models that are handed over."""
    from tidegate_bench.frigate import bench  # noqa: PLC0415 - loads torch and ZeroMQ

    show(bench.run(minutes=minutes, quick=quick, progress=progress), as_json)
