"""The form of every published figure: rows, goals met or missed, and the machine they were measured on."""

import itertools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from tidegate.terminal.size import columns
from tidegate.terminal.table import Table, lay_out

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
        """All figures as one JSON line, for programs (DESIGN: Figures)."""
        goals = [
            {**asdict(goal), "sense": ">=" if goal.at_least else "<=", "met": goal.met} for goal in self.goals
        ]
        for goal in goals:
            del goal["at_least"]
        document = {"bench": self.bench, "rows": list(self.rows), "goals": goals, "machine": machine()}
        return json.dumps(document, separators=(",", ":"))

    def print_tables(self, console: Console) -> None:
        """The rows and the goals, for a person."""
        width = columns(console)
        # A row that lacks columns of the others gets a table of its own kind: no cells of "not measured" there.
        for names, rows in itertools.groupby(self.rows, key=self._columns):
            cells = [[_cell(row[name]) for name in names] for row in rows]
            table = Table(self.bench, [name.replace("_", " ") for name in names], cells, keys=self._keys(names))
            console.print(lay_out(table, width), soft_wrap=True)
        judged = [
            (goal.goal, _cell(goal.value), f"{'>=' if goal.at_least else '<='} {goal.target:g}", _verdict(goal))
            for goal in self.goals
        ]
        goals = lay_out(Table("goals", ("goal", "measured", "target", ""), judged), width)
        goals.highlight_regex(r"\bmet$", "green")
        goals.highlight_regex(r"\bmissed$", "red")
        console.print(goals, soft_wrap=True, end="")
        on = machine()
        told = f"{on['system']} {on['architecture']}, {on['cpu']}, {on['cores']} cores, Python {on['python']}"
        console.print(f"measured on {told}", markup=False, highlight=False, soft_wrap=True)

    def _keys(self, names: Sequence[str]) -> int:
        """How many of the first columns say what a row is of: the words before the first number."""
        row = next(row for row in self.rows if self._columns(row) == tuple(names))
        words = list(itertools.takewhile(lambda name: isinstance(row[name], str), names))
        return max(1, min(len(words), len(names) - 1, 2))

    def _columns(self, row: Mapping[str, Cell]) -> tuple[str, ...]:
        return tuple(column for column in row if not self.shown or column in self.shown)


def _verdict(goal: Goal) -> str:
    return "met" if goal.met else "missed"


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
