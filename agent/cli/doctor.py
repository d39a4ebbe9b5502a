"""`tidegate doctor`: which drivers work here, what each gives, and which permission is missing."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from agent.cli.console import out
from agent.cli.view import format_value
from agent.supervisor.status import show_reading
from drivers.catalog import discover_all
from drivers.reading import Freshness
from drivers.survey import DriverReport, read_all_once


def doctor(
    sysroot: Annotated[Path, typer.Option(help="Root of a captured /sys and /proc tree.")] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Read every sensor once and say what each driver gives here, and why not what is missing."""
    reports = read_all_once(discover_all(sysroot))
    if as_json:
        sys.stdout.write(json.dumps({report.driver: _document(report) for report in reports}, indent=2) + "\n")
        return
    for report in reports:
        out.print(_table(report))


def _document(report: DriverReport) -> dict[str, object]:
    return {
        "readings": {
            name: asdict(
                show_reading(reading, Freshness.UNAVAILABLE if reading.value is None else Freshness.FRESH)
            )
            for name, reading in report.readings.items()
        },
        "refusals": [asdict(refusal) for refusal in report.refusals],
    }


def _table(report: DriverReport) -> Table:
    table = Table(title=report.driver, title_justify="left", box=None, padding=(0, 2))
    for column in ("reading", "value", "provenance", "source", "why not"):
        table.add_column(column)
    for name, reading in report.readings.items():
        shown = show_reading(reading, Freshness.FRESH)
        style = "green" if reading.value is not None else "yellow"
        table.add_row(name, Text(format_value(shown), style), shown.provenance, shown.source, Text(shown.reason))
    for refusal in report.refusals:
        reason = refusal.reason + (f"; to grant it: {refusal.grant}" if refusal.grant else "")
        table.add_row(refusal.name, Text("none", "dim"), "", refusal.source, Text(reason))
    return table
