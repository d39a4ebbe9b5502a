"""`tidegate bench NAME`: every published figure. A missed goal exits 0; only a broken benchmark does not."""

import sys
from pathlib import Path
from typing import Annotated

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
