"""`tidegate doctor`: which drivers work here and what is missing, and what the agent has trouble with."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tidegate.cli.agent_troubles import AgentTroubles, ask_agent
from tidegate.cli.checks.all import check_all
from tidegate.cli.checks.check import Check
from tidegate.cli.checks.show import lines
from tidegate.cli.console import fail, out, waiting
from tidegate.cli.meter_option import MeterOption
from tidegate.cli.told import told
from tidegate.cli.view import counted, format_stream, format_value, stream_label
from tidegate.config import DEFAULT_CONFIG
from tidegate.errors import EX_UNAVAILABLE, EX_USAGE
from tidegate.messages import Served
from tidegate.supervisor.status.status import show_reading
from tidegate_drivers.boards.board import read_board
from tidegate_drivers.catalog import discover
from tidegate_drivers.reading import Freshness
from tidegate_drivers.sensor import Unavailable
from tidegate_drivers.survey import DriverReport, read_all_once


def doctor(
    sysroot: Annotated[Path, typer.Option(help="Root of a captured /sys and /proc tree.")] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    meter: MeterOption = None,
    config: Annotated[
        Path | None,
        typer.Option(help=f"The configuration of an agent to ask too; {DEFAULT_CONFIG} if that is there."),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="The agent's state directory, instead of --config.")
    ] = None,
) -> None:
    """Read every sensor once and say what each driver gives here, and why not what is missing.

    With --config it also tries what the agent needs: bundle, policy, broker, certificate, clock, disk, addresses
    and keys, each fault with the way out, and ends with 69 if there is one. Of a running agent it says what does
    not work around it.
    """
    if not sysroot.is_dir():
        fail(f"--sysroot {sysroot} is not a directory; name the one that holds sys/ and proc/", EX_USAGE)
    reports = read_all_once(discover(sysroot, meter=meter))
    agent = _agent(config, state_dir, sysroot)
    with waiting("trying what the agent needs"):
        checks = () if config is None else check_all(config)
    if as_json:
        document: dict[str, object] = {report.driver: _document(report) for report in reports}
        if agent is not None:
            document["agent"] = asdict(agent)
        if config is not None:
            document["checks"] = [asdict(check) for check in checks]
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        _end(checks)
        return
    board = read_board(sysroot)
    if board is not None:
        out.print(f"board: {board.model}")
    for report in reports:
        if report.readings:
            out.print(_readings(report))
    missing = [paragraph for report in reports for paragraph in _missing(report)]
    if missing:
        out.print(Text("\nnot here, or not now", "bold"))
        out.print(Padding(Group(*missing), (0, 0, 0, 2), expand=False))
    if agent is not None:
        out.print(Text("\nthe agent", "bold"))
        out.print(Padding(Group(*_troubles(agent)), (0, 0, 0, 2), expand=False))
    if checks:
        out.print(Text(told(f"\nwhat {config} needs", sys.argv), "bold"))
        out.print(Padding(Group(*lines(checks)), (0, 0, 0, 2), expand=False))
    _end(checks)


def _end(checks: Sequence[Check]) -> None:
    if any(check.verdict == "fault" for check in checks):
        raise typer.Exit(EX_UNAVAILABLE)


def _agent(config: Path | None, state_dir: Path | None, sysroot: Path) -> AgentTroubles | None:
    """What the agent says that was named, or else the one of this machine; None where there is none to ask."""
    if config is None and state_dir is None and (sysroot != Path("/") or not DEFAULT_CONFIG.exists()):
        return None
    return ask_agent(config or DEFAULT_CONFIG, state_dir)


def _troubles(agent: AgentTroubles) -> list[Text]:
    if agent.unasked:
        return [Text(told(agent.unasked, sys.argv), "yellow")]
    troubles = [
        Text.assemble((trouble.part, "yellow"), f": {trouble.because} (since {trouble.since})")
        for trouble in agent.troubles
    ]
    return [*(troubles or [Text("reports no trouble", "green")]), *_streams(agent.served)]


def _streams(served: Served | None) -> list[Text]:
    if served is None:
        return []
    return [
        Text.assemble(
            (stream_label(served, each), "yellow" if each.problem else "green"),
            f": {format_stream(each, served.window_s)}",
        )
        for each in counted(served)
    ]


def _document(report: DriverReport) -> dict[str, object]:
    return {
        "readings": {
            name: asdict(
                show_reading(reading, Freshness.UNAVAILABLE if reading.value is None else Freshness.FRESH)
            )
            for name, reading in report.readings.items()
        },
        "refusals": [asdict(missing) for missing in report.unavailable],
    }


def _readings(report: DriverReport) -> Table:
    table = Table(title=report.driver, title_justify="left", title_style="bold", box=None, padding=(0, 2))
    for column in ("reading", "value", "provenance", "source"):
        table.add_column(column, overflow="fold")
    for name, reading in report.readings.items():
        shown = show_reading(reading, Freshness.FRESH)
        style = "green" if reading.value is not None else "yellow"
        table.add_row(name, Text(format_value(shown), style), shown.provenance, shown.source)
    return table


def _missing(report: DriverReport) -> list[Text]:
    """One paragraph for each reason, with the command that would help."""
    unread = [
        Unavailable(name, reading.source, reading.reason)
        for name, reading in report.readings.items()
        if reading.value is None
    ]
    by_reason: dict[tuple[str, str], list[str]] = {}
    for missing in (*unread, *report.unavailable):
        by_reason.setdefault((missing.reason, missing.grant), []).append(missing.name)
    paragraphs: list[Text] = []
    for (reason, grant), names in by_reason.items():
        paragraph = Text.assemble((", ".join(names), "yellow"), f": {reason}")
        if grant:
            paragraph.append(f"\n    to grant it: {grant}", "cyan")
        paragraphs.append(paragraph)
    return paragraphs
