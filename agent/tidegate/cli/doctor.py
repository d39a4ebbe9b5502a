"""`tidegate doctor`: which drivers work here, what each gives, and which permission is missing."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tidegate.cli.console import fail, out
from tidegate.cli.meter_option import MeterOption
from tidegate.cli.view import format_value
from tidegate.errors import EX_USAGE
from tidegate.supervisor.status import show_reading
from tidegate_drivers.boards.board import read_board
from tidegate_drivers.catalog import discover
from tidegate_drivers.reading import Freshness
from tidegate_drivers.sensor import Unavailable
from tidegate_drivers.survey import DriverReport, read_all_once


def doctor(
    sysroot: Annotated[Path, typer.Option(help="Root of a captured /sys and /proc tree.")] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    meter: MeterOption = None,
) -> None:
    """Read every sensor once and say what each driver gives here, and why not what is missing."""
    if not sysroot.is_dir():
        fail(f"--sysroot {sysroot} is no directory; name the one that holds sys/ and proc/", EX_USAGE)
    reports = read_all_once(discover(sysroot, meter=meter))
    if as_json:
        sys.stdout.write(json.dumps({report.driver: _document(report) for report in reports}, indent=2) + "\n")
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
