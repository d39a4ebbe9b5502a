"""`tidegate bench engine`."""

from typing import Annotated

import typer

from tidegate.cli.console import fail
from tidegate.errors import EX_USAGE
from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def engine(
    network: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """Our engines against torch and other runtimes: latency, CPU time, memory, gating."""
    # They import torch, which the other commands do without.
    from tidegate_bench.engine import bench  # noqa: PLC0415

    unknown = [name for name in network or () if name not in bench.ALL_NETWORKS]
    if unknown:
        fail(f"--network {unknown[0]}: no such network; allowed are {', '.join(bench.ALL_NETWORKS)}", EX_USAGE)
    show(bench.run(progress, quick=quick, networks=network), as_json)
