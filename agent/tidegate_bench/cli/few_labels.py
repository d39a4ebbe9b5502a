"""`tidegate bench few-labels`."""

from typing import Annotated

import typer

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def few_labels(
    seed: Annotated[int, typer.Option(help="Other draws.")] = 0,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """How many labels a certificate of one's own place takes, and how often one is false, on real pictures."""
    from tidegate_bench.few_labels import bench  # noqa: PLC0415 - needs torch

    show(bench.run(quick=quick, progress=progress, seed=seed), as_json)
