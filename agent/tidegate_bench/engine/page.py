"""The figures of one run of `tidegate bench engine` as Markdown, and the page that shows them kept current.

`tidegate bench engine --json | python -m tidegate_bench.engine.page docs/engines.md` writes the page anew.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tidegate.calibration.report.marked_section import markdown_table, with_section

BEGIN = "<!-- figures: written by agent/tidegate_bench/engine/page.py -->"
END = "<!-- /figures -->"

_NOT_MEASURED = ""


def with_figures(page: str, document: Mapping[str, Any]) -> str:
    """The page's text with what stands between its two marks replaced. Raises ValueError where it has none."""
    return with_section(page, BEGIN, END, figures(document))


def figures(document: Mapping[str, Any]) -> str:
    """The machine, a table per kind of row, and the goals."""
    machine = document["machine"]
    told = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']} {machine['release']}"
    kinds = (_table(list(columns), list(rows)) for columns, rows in groupby(document["rows"], key=tuple))
    return "\n\n".join((f"Measured on {told}, Python {machine['python']}.", *kinds, _goals(document["goals"])))


def _goals(goals: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        {
            "goal": goal["goal"],
            "target": f"{goal['sense']} {goal['target']:g}",
            "measured": goal["value"],
            "": "met" if goal["met"] else "missed",
        }
        for goal in goals
    ]
    return _table(["goal", "target", "measured", ""], rows)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    header = [column.replace("_", " ") for column in columns]
    return markdown_table(header, [[_cell(row[column]) for column in columns] for row in rows])


def _cell(value: object) -> str:
    if value is None:
        return _NOT_MEASURED
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Entry point: the page's path; the run's last line is the JSON on standard input."""
    page = Path(sys.argv[1])
    *_, last = sys.stdin.read().splitlines()
    page.write_text(with_figures(page.read_text(), json.loads(last)))


if __name__ == "__main__":
    main()
