"""`tidegate bench NAME`: every published figure. A missed goal exits 0; only a broken benchmark does not."""

import sys
from pathlib import Path
from typing import Annotated


from typing import Annotated, Literal

import typer

from agent.bench import control as control_bench
from agent.bench import decide as decide_bench
from agent.bench import demo as demo_bench
from agent.bench import driver_cost, driver_faults
from agent.bench.fault_mount import FaultMountError
from agent.bench.figures import Figures
from agent.cli.console import EX_DATAERR, fail, out
from agent.simulation.course import CourseError
from drivers.trace import TraceError


from agent.cli.console import EX_USAGE, err, fail, out

app = typer.Typer(help="Measure what the documentation states.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Only the JSON line.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="A first look in under a minute.")]


def show(figures: Figures, as_json: bool) -> None:
    """Tables for a person, then the JSON line."""
    if not as_json:
        figures.print_tables(out)
    sys.stdout.write(figures.to_json() + "\n")


@app.command("demo")
def demo(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """The demo's summary, held against its goals."""
    try:
        show(demo_bench.run(quick=quick), as_json)
    except demo_bench.BenchError as error:
        fail(str(error), 1)


@app.command("driver-faults")
def driver_faults_command(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Every driver under every fault of every file it reads, through FUSE."""
    try:
        show(driver_faults.run(quick=quick), as_json)
    except FaultMountError as error:
        fail(f"driver-faults can't run here: {error}", 1)


@app.command("driver-cost")
def driver_cost_command(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """The CPU that watching a device takes, also in a storm of 1,000 events a second."""
    try:
        show(driver_cost.run(quick=quick), as_json)
    except driver_cost.CostError as error:
        fail(str(error), 1)


@app.command("control")
def control(
    as_json: JsonOption = False,
    quick: QuickOption = False,
    seed: Annotated[int | None, typer.Option(help="Play fresh traces of this seed too.")] = None,
    traces: Annotated[int, typer.Option(min=1, help="How many fresh traces.")] = 8,
    trace: Annotated[list[Path] | None, typer.Option(help="Play this trace too; may be given again.")] = None,
) -> None:
    """The controller against the best possible, and against what people use instead, over simulated days."""
    try:
        show(control_bench.run(quick=quick, seed=seed, traces=traces, files=trace or ()), as_json)
    except (TraceError, CourseError) as error:
        fail(str(error), EX_DATAERR)


@app.command("decide")
def decide(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """What one decision costs, and one simulated day."""
    show(decide_bench.run(quick=quick), as_json)


def progress(text: str) -> None:
    """A line of what a long benchmark is at, away from its results."""
    err.print(text, style="dim", markup=False)


@app.command("adaptive-activation")
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
        Path | None, typer.Option(help="Your images, an npz with normalised `inputs` (n, 3, h, w) and `labels`.")
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
    from agent.bench import adaptive_activation as bench  # noqa: PLC0415
    from agent.bench.held_memory import HeldError  # noqa: PLC0415
    from agent.bench.own_images import ImagesError  # noqa: PLC0415
    from agent.models.zoo.catalog import ZOO  # noqa: PLC0415
    from agent.models.zoo.weights import WeightsError  # noqa: PLC0415

    models = tuple(model or (bench.QUICK_MODELS if quick else bench.MODELS))
    models = tuple(ZOO) if models == ("all",) else models
    unknown = [name for name in models if name not in ZOO]
    if unknown:
        fail(f"--model {unknown[0]}: there is none; allowed are {', '.join(ZOO)} and all", EX_USAGE)
    if (weights is not None or data is not None) and len(models) != 1:
        fail("--weights and --data are those of one network: name it with --model", EX_USAGE)
    if data is not None and weights is None:
        fail("--data is for your own weights: give --weights too", EX_USAGE)
    options = bench.Options(models, resolution, target, seed, quick, weights, data, sensitivity)
    try:
        show(bench.run(options, progress), as_json)
    except (HeldError, ImagesError, WeightsError) as error:
        fail(str(error), 1)
