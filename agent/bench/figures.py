"""The form of every published figure: rows, goals met or missed, and the machine they were measured on."""

import itertools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Goal:
    """One stated goal and what was measured; a value of None (not measured) is a miss."""

    goal: str
    target: float
    value: float | None
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the value reaches the target."""
        if self.value is None:
            return False
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of one benchmark."""

    bench: str
    rows: Sequence[Mapping[str, Cell]]
    goals: Sequence[Goal]
    shown: Sequence[str] = ()
    """Columns that a person sees, where all of them are too many; the JSON line has all."""

    def to_json(self) -> str:
        """The one JSON line that ends a benchmark (DESIGN: Figures)."""
        goals = [
            {**asdict(goal), "sense": ">=" if goal.at_least else "<=", "met": goal.met} for goal in self.goals
        ]
        for goal in goals:
            del goal["at_least"]
        document = {"bench": self.bench, "rows": list(self.rows), "goals": goals, "machine": machine()}
        return json.dumps(document, separators=(",", ":"))

    def print_tables(self, console: Console) -> None:
        """The rows and the goals, for a person."""
        # A row that lacks columns of the others gets a table of its own kind: no cells of "not measured" there.
        for columns, rows in itertools.groupby(self.rows, key=self._columns):
            table = Table(title=self.bench)
            for column in columns:
                table.add_column(column.replace("_", " "))
            for row in rows:
                table.add_row(*(_cell(row[column]) for column in columns))
            console.print(table)
        goals = Table(title="goals")
        for column in ("goal", "target", "measured", ""):
            goals.add_column(column)
        for goal in self.goals:
            verdict: Literal["[green]met", "[red]missed"] = "[green]met" if goal.met else "[red]missed"
            sense = ">=" if goal.at_least else "<="
            goals.add_row(goal.goal, f"{sense} {goal.target:g}", _cell(goal.value), verdict)
        console.print(goals)

    def _columns(self, row: Mapping[str, Cell]) -> tuple[str, ...]:
        return tuple(column for column in row if not self.shown or column in self.shown)


def machine() -> dict[str, Cell]:
    """What the figures were measured on."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _cpu_name() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else None


def _cell(value: Cell) -> str:
    if value is None:
        return "not measured"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
