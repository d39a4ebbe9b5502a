"""Checks as lines for a reader."""

import sys
from collections.abc import Iterable

from rich.text import Text

from tidegate.cli.checks.check import Check
from tidegate.cli.told import told

_STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}


def lines(checks: Iterable[Check]) -> list[Text]:
    """One paragraph for each: verdict, what was found, and under it what to do."""
    shown = []
    for check in checks:
        said = f"{check.name}: {told(check.said, sys.argv)}"
        paragraph = Text.assemble((f"{check.verdict:<8}", _STYLES[check.verdict]), said)
        if check.way_out:
            paragraph.append(f"\n         to do: {told(check.way_out, sys.argv)}", "cyan")
        shown.append(paragraph)
    return shown
