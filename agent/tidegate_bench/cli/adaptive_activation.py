"""`tidegate bench adaptive-activation`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.cli.console import fail
from tidegate.errors import EX_USAGE
from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def adaptive_activation(
    model: Annotated[
        list[str] | None, typer.Option(help="A network of the zoo, or `all`; may be given several times.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Of the full-size networks; their own unless given.")
    ] = None,
    target: Annotated[
        Literal["memory", "latency", "energy"], typer.Option(help="What the selection cuts.")
    ] = "memory",
    weights: Annotated[
        Path | None,
        typer.Option(help="Your weights of the one model (torchvision's names), .pth or .safetensors."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Your images: a folder of classes, as ImageNet's validation, or an npz."),
    ] = None,
    sensitivity: Annotated[
        Path | None, typer.Option(help="Write the sensitivity of every layer, value and block here (CSV).")
    ] = None,
    seed: int = 0,
    as_json: JsonOption = False,
    quick: QuickOption = False,
) -> None:
    """Memory against accuracy loss of the AdaptiveActivation paper's method, with its baselines."""
    # They import torch, which the other commands do without.
    from tidegate_bench.adaptive_activation import bench  # noqa: PLC0415
    from tidegate_bench.zoo.catalog import ZOO  # noqa: PLC0415

    models = tuple(model or (bench.QUICK_MODELS if quick else bench.MODELS))
    models = tuple(ZOO) if models == ("all",) else models
    unknown = [name for name in models if name not in ZOO]
    if unknown:
        fail(f"--model {unknown[0]}: no such network; allowed are {', '.join(ZOO)} and all", EX_USAGE)
    if (weights is not None or data is not None) and len(models) != 1:
        fail("--weights and --data belong to one network: name it with --model", EX_USAGE)
    if data is not None and weights is None:
        fail("--data is for your own weights: give --weights too", EX_USAGE)
    options = bench.Options(models, resolution, target, seed, quick, weights, data, sensitivity)
    show(bench.run(options, progress), as_json)
