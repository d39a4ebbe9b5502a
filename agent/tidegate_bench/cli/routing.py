"""`tidegate bench routing-synthetic` and `routing-classification`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.cli.console import fail
from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show

CountOption = Annotated[int, typer.Option(min=1)]
OutputOption = Annotated[
    Path | None, typer.Option(help="Write all rows here (CSV), and a picture beside it (needs tidegate[plot]).")
]


def synthetic(
    samples: CountOption = 10_000,
    dim: CountOption = 128,
    layers: CountOption = 6,
    threshold: float = 0.1,
    batch_size: CountOption = 64,
    runs: CountOption = 5,
    seed: int = 42,
    output: OutputOption = None,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """The activity routing paper's synthetic experiment; a block counts as skipped when it was not computed."""
    # They import torch, which the other commands do without.
    from tidegate_bench.routing import synthetic as bench  # noqa: PLC0415
    from tidegate_bench.routing.output import PlotError  # noqa: PLC0415

    samples, runs = (min(samples, 1000), min(runs, 2)) if quick else (samples, runs)
    options = bench.Options(
        samples=samples,
        dim=dim,
        layers=layers,
        threshold=threshold,
        batch_size=batch_size,
        runs=runs,
        seed=seed,
        output=output,
    )
    try:
        show(bench.run(options), as_json)
    except PlotError as error:
        fail(str(error), 1)


def classification(
    dataset: Annotated[
        Literal["digits", "mnist", "fashion-mnist", "folder"], typer.Option(help="Digits come along.")
    ] = "digits",
    data: Annotated[
        Path | None, typer.Option(help="Directory of the others: IDX files, or train/CLASS and test/CLASS.")
    ] = None,
    dim: CountOption = 128,
    layers: CountOption = 6,
    threshold: float = 0.1,
    batch_size: CountOption = 64,
    runs: CountOption = 5,
    seed: int = 42,
    output: OutputOption = None,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """The activity routing paper's classification experiment, untrained as published and trained."""
    # They import torch, which the other commands do without.
    from tidegate.calibration.data.datasets import DataError  # noqa: PLC0415
    from tidegate_bench.routing import classification as bench  # noqa: PLC0415
    from tidegate_bench.routing.output import PlotError  # noqa: PLC0415

    runs = min(runs, 2) if quick else runs
    options = bench.Options(
        dataset=dataset,
        data=data,
        dim=dim,
        layers=layers,
        threshold=threshold,
        batch_size=batch_size,
        runs=runs,
        seed=seed,
        output=output,
    )
    try:
        show(bench.run(options, progress), as_json)
    except (DataError, PlotError) as error:
        fail(str(error), 1)
