"""Checks as lines for a reader."""

from collections.abc import Iterable

from rich.text import Text

from tidegate.cli.checks.check import Check

_STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}


def lines(checks: Iterable[Check]) -> list[Text]:
    """One paragraph for each: verdict, what was found, and under it what to do."""
    shown = []
    for check in checks:
        paragraph = Text.assemble((f"{check.verdict:<8}", _STYLES[check.verdict]), f"{check.name}: {check.said}")
        if check.way_out:
            paragraph.append(f"\n         to do: {check.way_out}", "cyan")
        shown.append(paragraph)
    return shown
