"""`tidegate bench coverage`."""

from typing import Annotated

import typer

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def coverage(
    name: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """The share of a list of architectures whose graph answers as the model."""
    from tidegate_bench.coverage import bench  # noqa: PLC0415 - needs torch

    show(bench.run(quick=quick, names=name or (), progress=progress), as_json)
