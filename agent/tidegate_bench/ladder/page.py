"""The sections of docs/ladder.md that `tidegate bench ladder` fills.

tidegate bench ladder --json > ladder.json
python -m tidegate_bench.ladder.page docs/ladder.md ladder.json
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidegate.calibration.report.marked_section import markdown_table, with_section
from tidegate_bench.figures import Cell

Row = Mapping[str, Cell]

SECTIONS = ("gates", "certified", "goals")
"""Each stands between `<!-- NAME: written by agent/tidegate_bench/ladder/page.py -->` and `<!-- /NAME -->`."""


def with_figures(page: str, document: Mapping[str, Sequence[Row]]) -> str:
    """The page's text with the tables of the benchmark's JSON line. Raises ValueError for a page without marks."""
    rows = document["rows"]
    tables = {
        "gates": gates_table([row for row in rows if "operations_within" in row]),
        "certified": certified_table([row for row in rows if "operations_worst" in row]),
        "goals": goals_table(document["goals"]),
    }
    for name in SECTIONS:
        begin = f"<!-- {name}: written by agent/tidegate_bench/ladder/page.py -->"
        page = with_section(page, begin, f"<!-- /{name} -->", tables[name])
    return page


def gates_table(rows: Sequence[Row]) -> str:
    """One row per net and gate, one column per level of operations."""
    levels = sorted({float(row["operations_within"] or 0) for row in rows}, reverse=True)
    found = {(row["net"], row["gate"], row["operations_within"]): row for row in rows}
    kinds = dict.fromkeys((str(row["net"]), str(row["gate"])) for row in rows)
    body = [(net, gate, *(_lost(found[net, gate, level]) for level in levels)) for net, gate in kinds]
    return markdown_table(("net", "gate", *(f"within {level:.0%}" for level in levels)), body)


def certified_table(rows: Sequence[Row]) -> str:
    """One row per net: the cheapest certified point."""
    header = ("net", "full accuracy", "operations, mean", "worst", "blocks skipped", "newly wrong on V")
    keys = ("full_accuracy", "operations", "operations_worst", "blocks_skipped", "newly_wrong")
    return markdown_table(header, [(str(row["net"]), *(_share(row[key]) for key in keys)) for row in rows])


def goals_table(goals: Sequence[Row]) -> str:
    """One row per goal, missed ones as missed."""
    body = [
        (
            str(goal["goal"]),
            f"{goal['sense']} {goal['target']:g}",
            "not measured" if goal["value"] is None else f"{goal['value']:.3g}",
            "met" if goal["met"] else "**missed**",
        )
        for goal in goals
    ]
    return markdown_table(("goal", "target", "measured", ""), body)


def _lost(row: Row) -> str:
    if row["newly_wrong"] is None:
        return "-"
    return f"{_share(row['newly_wrong'])} ({_share(row['blocks_skipped'], digits=0)})"


def _share(value: Cell, digits: int = 1) -> str:
    return f"{float(value or 0) * 100:.{digits}f} %"


if __name__ == "__main__":
    target, result = map(Path, sys.argv[1:])
    line = result.read_text().splitlines()[-1]
    target.write_text(with_figures(target.read_text(), json.loads(line)))
