"""`tidegate bundle`: look into a bundle, verify one, report on one, build one."""

import shlex
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tidegate.calibration.data.digits.seed import SHIPPED_SEED
from tidegate.calibration.search.goal import Goal, Knob, target_outcome
from tidegate.cli import bundle_push
from tidegate.cli.build_goal import wanted_of
from tidegate.cli.build_progress import BuildProgress
from tidegate.cli.bundle_certificate import certificate_command
from tidegate.cli.bundle_certify import certify_command
from tidegate.cli.bundle_coreml import coreml
from tidegate.cli.bundle_label import label_command
from tidegate.cli.bundle_path import BundlePath
from tidegate.cli.certificate_push import push_certificate_command
from tidegate.cli.console import err, fail, out, show_table, waiting
from tidegate.cli.fix_option import FixOption, fixed_inputs
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.cli.meter_option import MeterOption
from tidegate.cli.task_options import (
    OVERLAP,
    SCORE,
    SURE,
    AnchorsOption,
    BlankOption,
    BoundOption,
    LayoutOption,
    NamesOption,
    OverlapOption,
    ScoreOption,
    SureOption,
    TaskOption,
    ThresholdOption,
    task_options,
)
from tidegate.cli.told import told
from tidegate.cli.view import format_risk, format_share
from tidegate.engines.bundle_check import verify as check_bundle
from tidegate.engines.engine import REFERENCE
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.errors import EX_DATAERR, EX_UNAVAILABLE
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.manifest import LADDER
from tidegate.terminal.table import Table
from tidegate_drivers.energy_meter import EnergyMeter, NoMeter, find_energy_meter

app = typer.Typer(help="Inspect, verify, build, certify, label, sign and push bundles.", no_args_is_help=True)
app.command("certify")(certify_command)
app.command("certificate")(certificate_command)
app.command("push-certificate")(push_certificate_command)
app.command("label")(label_command)
app.command("push")(bundle_push.push_command)
app.command("sign")(bundle_push.sign_command)
app.command("index")(bundle_push.index_command)

EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        help="Certify points for this engine: onnx, litert or eager; may be given again. auto, the default: of "
        "onnx and litert the one that takes less processor time here, or eager where neither is installed.",
    ),
]

_KNOBS = ", ".join(Knob)
_PROMISE, _AIM, _SEARCH = "What is certified", "What is saved", "How it is searched"
"""Headings in --help, where one list of all options would fill three screens."""

COLUMNS = (
    "operating point",
    "certified risk",
    "accuracy",
    "p50",
    "engine",
    "newly wrong",
    "blocks skipped",
    "weights",
    "FLOPs",
)


@app.command()
def inspect(
    bundle: BundlePath,
    as_json: Annotated[bool, typer.Option("--json", help="The ladder file as it is.")] = False,
) -> None:
    """Show a bundle's model, how it was built, and its ladder."""
    opened = open_bundle(bundle)
    if as_json:
        sys.stdout.write((bundle / LADDER).read_text())
        return
    _print_summary(opened)
    show_table(_ladder_table(opened))


@app.command()
def verify(bundle: BundlePath, as_json: JsonOption = False) -> None:
    """Check a bundle's hashes, graphs and ladder, and run its canaries at every operating point."""
    with waiting("running the canaries at every operating point"):
        checks = check_bundle(bundle)
    if as_json:
        write_json({"bundle": str(bundle), "checks": [asdict(check) for check in checks]})
    for check in () if as_json else checks:
        verdict = "not run" if check.ok is None else "ok" if check.ok else "FAILED"
        said = told(f"{verdict}: {check.name}: {check.detail}", sys.argv)
        out.say(said)
    if any(check.ok is False for check in checks):
        fail(f"{bundle}: verification failed; do not serve this bundle", EX_DATAERR)
    if any(check.ok is None for check in checks):
        fail(f"{bundle}: verified only in part; run this where an engine is installed", EX_UNAVAILABLE)


@app.command()
def build_demo(
    out_directory: Annotated[Path, typer.Option("--out", help="Where the bundle goes; must not exist.")],
    seed: Annotated[int, typer.Option(help="Seed of split, training and search.")] = SHIPPED_SEED,
    engine: EngineOption = None,
    meter: MeterOption = None,
) -> None:
    """Train the digits net on scikit-learn's scanned digits and make its certified ladder, from scratch."""
    if out_directory.exists():
        fail(f"{out_directory}: already exists; name another directory with --out, or remove it", EX_DATAERR)
    from tidegate.calibration.assemble.digits_bundle import Recipe, build_digits_bundle  # noqa: PLC0415 - torch, scikit-learn

    with BuildProgress() as progress:
        recipe = Recipe(engines=tuple(engine or (AUTO,)))
        build_digits_bundle(out_directory, seed, progress, recipe, _energy_meter(meter))
    show_table(_ladder_table(open_bundle(out_directory)))


@app.command()
def build(
    model: Annotated[
        str,
        typer.Option(
            help="package.module:factory or package.module:factory(literals) of a torch module, an .onnx or .pt2 "
            "file, or a directory that transformers saved."
        ),
    ],
    data: Annotated[Path, typer.Option(help="A folder of pictures, an .npz file, or IDX files.")],
    out_directory: Annotated[Path, typer.Option("--out", help="Where the bundle goes.")],
    output: Annotated[
        str | None, typer.Option(help="Which of the model's outputs is the answer, by its name or place.")
    ] = None,
    fix: FixOption = None,
    task: TaskOption = None,
    bound: BoundOption = None,
    threshold: ThresholdOption = None,
    names: NamesOption = None,
    detect_layout: LayoutOption = None,
    detect_score: ScoreOption = SCORE,
    detect_overlap: OverlapOption = OVERLAP,
    detect_sure: SureOption = SURE,
    detect_anchors: AnchorsOption = None,
    blank: BlankOption = None,
    risk: Annotated[
        str | None,
        typer.Option(
            help="What to certify: newly_wrong, disagreement, cosine:BOUND, distance:BOUND, threshold:BOUND, or "
            "your own package.module:function(full, outputs). Default: newly_wrong.",
            rich_help_panel=_PROMISE,
        ),
    ] = None,
    delta: Annotated[
        float,
        typer.Option(min=0.0001, max=0.5, help="Chance of any certificate being wrong.", rich_help_panel=_PROMISE),
    ] = 0.05,
    alpha: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0001,
            max=0.5,
            help="A loss to certify; may be given again. Default: 1, 1.5, 3, 5 %.",
            rich_help_panel=_PROMISE,
        ),
    ] = None,
    block: Annotated[
        list[str] | None, typer.Option(help="Skip only this submodule; may be given again.", rich_help_panel=_AIM)
    ] = None,
    aim: Annotated[
        Goal | None,
        typer.Option(
            metavar="AIM",
            help=f"What to save first: {', '.join(Goal)}; the first if nothing is said.",
            rich_help_panel=_AIM,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Share of the aim's figure to save, such as 40%; what can't be met is said.", rich_help_panel=_AIM
        ),
    ] = None,
    target_memory: Annotated[
        str | None, typer.Option(help="Weights and live activations, such as 2MiB.", rich_help_panel=_AIM)
    ] = None,
    target_latency: Annotated[
        str | None, typer.Option(help="Median of one inference, such as 5ms.", rich_help_panel=_AIM)
    ] = None,
    target_energy: Annotated[
        str | None, typer.Option(help="Energy of one inference, such as 20mJ.", rich_help_panel=_AIM)
    ] = None,
    with_knob: Annotated[
        list[Knob] | None,
        typer.Option(
            "--with", metavar="KNOB", help=f"Turn this too; may be given again: {_KNOBS}.", rich_help_panel=_AIM
        ),
    ] = None,
    without_knob: Annotated[
        list[Knob] | None,
        typer.Option(
            "--without", metavar="KNOB", help="Leave this as it is; may be given again.", rich_help_panel=_AIM
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=8, help="Side of a folder's pictures, in pixels.")] = 224,
    grey: Annotated[bool, typer.Option("--grey", help="Take a folder's pictures without colour.")] = False,
    engine: EngineOption = None,
    meter: MeterOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.", rich_help_panel=_SEARCH)] = 0,
    executor: Annotated[
        str | None,
        typer.Option(
            help="Who tries the moves of a greedy search: processes, processes:COUNT, or dask:ADDRESS of a "
            "scheduler whose workers have tidegate. Default: this process.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
) -> None:
    """Make a certified ladder for a trained model of yours; run again, it goes on where it was interrupted."""
    # They import torch, which the other commands do without.
    from tidegate.calibration.assemble.model_bundle import Request, build_bundle  # noqa: PLC0415
    from tidegate.calibration.assemble.plan import ALPHAS, Plan  # noqa: PLC0415
    from tidegate.calibration.certify.risk import risk_of  # noqa: PLC0415
    from tidegate.calibration.data.datasets import ImageSpec  # noqa: PLC0415
    from tidegate.calibration.search.executors import opened_executor  # noqa: PLC0415

    command = shlex.join(["tidegate", *sys.argv[1:]])
    options = task_options(
        task,
        risk,
        bound,
        threshold,
        names,
        detect_layout,
        detect_score,
        detect_overlap,
        detect_sure,
        detect_anchors,
        blank,
    )
    limits = ((Goal.MEMORY, target_memory), (Goal.LATENCY, target_latency), (Goal.ENERGY, target_energy))
    wanted = wanted_of(aim, target, limits, with_knob or (), without_knob or ())
    out.say(f"aim: {wanted.goal}; turning {', '.join(sorted(wanted.knobs))}")
    engines = tuple(engine or (AUTO,))
    alphas = tuple(sorted(set(alpha or ALPHAS)))
    plan = Plan.towards(
        wanted.goal, wanted.knobs, wanted.target, risk_of(risk or "newly_wrong"), delta, engines, alphas
    )
    request = Request(
        model,
        data,
        out_directory,
        ImageSpec(size, grey),
        seed,
        tuple(block or ()),
        plan,
        command,
        output,
        options,
        fixed_inputs(fix or ()),
    )
    with ExitStack() as stack:
        workers = None if executor is None else stack.enter_context(opened_executor(executor))
        progress = stack.enter_context(BuildProgress())
        build_bundle(request, progress, _energy_meter(meter), workers)
    opened = open_bundle(out_directory)
    show_table(_ladder_table(opened))
    if wanted.target is not None:
        out.say(target_outcome(wanted.target, opened.ladder))


@app.command()
def report(
    bundle: BundlePath,
    page: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("ladder.html"),
) -> None:
    """Write one HTML page with a bundle's ladder: what it costs, what it loses, what each knob does."""
    opened = open_bundle(bundle)
    with waiting("drawing"):
        from tidegate.calibration.report.page import render  # noqa: PLC0415 - needs torch

        page.write_text(render(opened), encoding="utf-8")
    out.say(f"wrote {page}")


app.command()(coreml)


def _energy_meter(named: str | None) -> EnergyMeter | None:
    """What a build measures energy with; says so, or why it doesn't."""
    found = find_energy_meter(named)
    if isinstance(found, NoMeter):
        err.say(f"energy is not measured: {found.reason}")
        return None
    err.say(f"energy is measured by {found.source}")
    return found


def _print_summary(bundle: Bundle) -> None:
    told = f"{bundle.path}: {bundle.model}, {len(bundle.blocks)} skippable blocks, sha256 {bundle.sha256}"
    out.say(told)
    task = "as its builder's own function has it" if bundle.task is None else bundle.task
    out.say(f"task: {task}; a failure: {bundle.calibration.failure}")


def _ladder_table(bundle: Bundle) -> Table:
    points = bundle.ladder.points
    metered = any(point.figures.energy_mj is not None for point in points)
    rows = []
    for point in points:
        figures = point.figures
        cells = (
            point.name,
            format_risk(point.certified_risk),
            format_share(figures.accuracy),
            f"{figures.latency_p50_ms:.2f} ms",
            "any" if point.engine == REFERENCE else point.engine,
            format_share(figures.newly_wrong),
            f"{figures.skip_ratio:.0%}",
            f"{figures.weights_resident_bytes / 1024:,.0f} KiB",
            f"{figures.flops_ratio:.0%}",
        )
        energy = "unknown" if figures.energy_mj is None else f"{figures.energy_mj:.3g} mJ"
        rows.append((*cells, *((energy,) if metered else ())))
    return Table(f"{bundle.model}: ladder", (*COLUMNS, *(("energy",) if metered else ())), rows)
