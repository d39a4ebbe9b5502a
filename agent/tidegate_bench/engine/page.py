"""The figures of one run of `tidegate bench engine` as Markdown, and the page that shows them kept current.

`tidegate bench engine --json | python -m tidegate_bench.engine.page docs/engines.md` writes the page anew.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

BEGIN = "<!-- figures: written by agent/tidegate_bench/engine/page.py -->"
END = "<!-- /figures -->"

_NOT_MEASURED = ""


def with_figures(page: str, document: Mapping[str, Any]) -> str:
    """The page's text with what stands between its two marks replaced. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN!r} followed by {END!r}")
    return f"{before}{BEGIN}\n{figures(document)}\n{END}{after}"


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
    return "\n".join(_lines(columns, rows))


def _lines(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield _line(column.replace("_", " ") for column in columns)
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield _line(_cell(row[column]) for column in columns)


def _line(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


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
