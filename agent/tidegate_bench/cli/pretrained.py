"""`tidegate bench pretrained`."""

from typing import Annotated

import typer

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def pretrained(
    name: Annotated[list[str] | None, typer.Option(help="Only this network; may be given again.")] = None,
    seed: Annotated[int, typer.Option(help="Other inputs and another split.")] = 0,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """What ladders save on networks that packages ship with their weights, and whether they hold."""
    from tidegate_bench.pretrained import bench  # noqa: PLC0415 - needs torch
    from tidegate_bench.pretrained.networks import NETWORKS  # noqa: PLC0415 - as above

    if unknown := set(name or ()) - NETWORKS.keys():
        allowed = "there are " + ", ".join(NETWORKS)
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: no such network; {allowed}", param_hint="--name")
    show(bench.run(quick=quick, names=name or (), seed=seed, progress=progress), as_json)
