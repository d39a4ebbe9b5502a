"""`tidegate policy simulate`: policies on a simulated device through a day, side by side."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tidegate.boards import find_profile
from tidegate.cli.console import err, fail, out, show_table, waiting
from tidegate.cli.policy_options import LadderOption, open_ladder, read_policy
from tidegate.errors import EX_DATAERR
from tidegate.simulation.chart import chart
from tidegate.simulation.fit import Fit, fit
from tidegate.simulation.page import SIMULATED, page
from tidegate.simulation.run import Run, by_policy, simulate
from tidegate.simulation.scenario import Scenario
from tidegate.simulation.totals_table import totals_rows
from tidegate.terminal.size import columns
from tidegate.terminal.table import Table
from tidegate_drivers.trace import ReplayTrace, TraceError

TraceOption = Annotated[Path, typer.Option("--trace", help="The day: a scripted or recorded CSV.")]


def simulate_command(
    trace: TraceOption,
    policies: Annotated[
        list[Path] | None, typer.Option("--policy", help="A policy; several are compared.")
    ] = None,
    device: Annotated[str, typer.Option(help="The board profile of the simulated device.")] = "field-box",
    ladder: LadderOption = None,
    requests_hz: Annotated[
        float | None, typer.Option("--requests", help="Load, where the trace has none, Hz.")
    ] = None,
    fit_only: Annotated[
        bool, typer.Option("--fit", help="Fit the device's parameters to a recorded day.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Totals as one JSON line.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write charts and totals as one page.")] = None,
) -> None:
    """Replay a day with the service's own decisions: chart and totals for each policy. All is estimated."""
    try:
        played = ReplayTrace.load(trace)
    except TraceError as error:
        fail(str(error), EX_DATAERR)
    if fit_only:
        _print_fit(fit(played), as_json=as_json)
        return
    profile = find_profile(device)
    scenario = Scenario.of(played, profile.device, requests_hz)
    if not policies:
        raise typer.BadParameter("name at least one policy with --policy FILE")
    points = open_ladder(ladder)
    runs: list[Run] = []
    controlling: list[str] = []
    for file in policies:
        _, layered = read_policy(file, device)
        if layered.policy.default_controls or any(rule.controls for rule in layered.policy.rules):
            controlling.append(layered.policy.name)
        chooser = by_policy(layered.policy, points, profile.device)
        with waiting(f"simulating {layered.policy.name}, {len(runs) + 1} of {len(policies)}"):
            runs.append(simulate(layered.policy.name, chooser, scenario, profile.device, layered.policy.goals))
    left_out = []
    if controlling:
        names = ", ".join(controlling)
        left_out.append(f"Left out: the device's settings that {names} would change under `controls`.")
    if html is not None:
        html.write_text(page(f"A day on {profile.title}", runs, points, scenario, left_out), encoding="utf-8")
        err.say(f"wrote {html}")
    if as_json:
        sys.stdout.write(json.dumps({run.name: asdict(run.totals) for run in runs}) + "\n")
        return
    for run in runs:
        out.say(f"{run.name} on {profile.title}, {scenario.name}")
        out.print(chart(run, points, scenario, columns(out)), markup=False, soft_wrap=True)
        out.print()
    show_table(_totals(runs))
    for note in (SIMULATED, *left_out):
        out.say(note)


def _totals(runs: list[Run]) -> Table:
    return Table("totals", ("", *(run.name for run in runs)), totals_rows(runs))


def _print_fit(fitted: Fit, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(fitted)) + "\n")
        return
    shown = {
        "idle": f"{fitted.idle_w:.2f} W",
        "heat_k_per_w": None if fitted.heat_k_per_w is None else f"{fitted.heat_k_per_w:.2f}",
        "heat_span": None if fitted.heat_span_s is None else f"{fitted.heat_span_s:.0f} s",
        "ambient": None if fitted.ambient_c is None else f"{fitted.ambient_c:.1f} C",
        "battery": None if fitted.battery_wh is None else f"{fitted.battery_wh:.1f} Wh",
    }
    out.print("device:")
    for key, value in shown.items():
        shows_not = f"  # {key}: this day does not show it: {fitted.unknown.get(key, '')}"
        out.say(f"  {key}: {value}" if value is not None else shows_not)
    if fitted.unknown:
        out.say("# What this day does not show stays as it is in the board's profile.")
    if fitted.error_c is not None:
        out.print(f"# temperature steps of 10 s are met within {fitted.error_c:.2g} C (root mean square)")
