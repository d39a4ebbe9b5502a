"""`tidegate bench pays`."""

from typing import Annotated

import typer

from tidegate.cli.build_progress import BuildProgress
from tidegate.cli.console import fail
from tidegate.errors import EX_USAGE
from tidegate_bench.cli.show import JsonOption, QuickOption, show


def pays(
    network: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """Trained networks nobody tuned to: the cheapest certified point against the fastest fixed engines."""
    from tidegate_bench.pays import bench  # noqa: PLC0415 - needs torch
    from tidegate_bench.pays.networks import NETWORKS  # noqa: PLC0415 - as above

    unknown = [name for name in network or () if name not in NETWORKS]
    if unknown:
        fail(f"--network {unknown[0]}: no such network; allowed are {'; '.join(NETWORKS)}", EX_USAGE)
    with BuildProgress() as progress:
        figures = bench.run(quick=quick, progress=progress, networks=network)
    show(figures, as_json)
