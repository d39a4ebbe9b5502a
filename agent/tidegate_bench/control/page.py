"""The control benchmark as one HTML page: how near each contender comes on each day, goals, and all figures."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from tidegate.drawing.bars import dots
from tidegate.drawing.markup import Element, document, element, figure, table
from tidegate_bench.figures import Cell, Figures, Goal, machine

_LABEL = "right answers within the goals, share of the best possible"


def page(figures: Figures) -> str:
    """The page; its rows are those of the tables that a terminal gets."""
    on = machine()
    parts = [
        element("p", f"Simulated on {on['system']} {on['architecture']}; docs/control.md says what figures mean."),
        *(part for group, rows in _groups(figures.rows) for part in _group(group, rows)),
        element("h2", "Goals"),
        table(("goal", "measured", "target", "verdict"), [_judged(goal) for goal in figures.goals]),
    ]
    return document("How near control comes to the best", parts)


def _groups(rows: Sequence[Mapping[str, Cell]]) -> Iterator[tuple[str, list[Mapping[str, Cell]]]]:
    for group, found in itertools.groupby(rows, key=lambda row: str(row["group"])):
        yield group, list(found)


def _group(group: str, rows: Sequence[Mapping[str, Cell]]) -> Iterator[Element]:
    yield element("h2", group[:1].upper() + group[1:])
    if (picture := _dots(rows)) is not None:
        yield figure(f"{_LABEL[:1].upper()}{_LABEL[1:]}.", picture)
    columns = [name for name in rows[0] if name != "group"]
    cells = [[_text(row[name]) for name in columns] for row in rows]
    yield table([name.replace("_", " ") for name in columns], cells)


def _dots(rows: Sequence[Mapping[str, Cell]]) -> Element | None:
    """A line for each day; the optimum, of which the others are shares, has no dot. None if nothing is known."""
    found: dict[str, dict[str, float | None]] = {}
    for row in rows:
        share, contender = row.get("share"), str(row["controller"])
        if contender != "optimum":
            found.setdefault(str(row["trace"]), {})[contender] = share if isinstance(share, float) else None
    series = list(dict.fromkeys(name for values in found.values() for name in values))
    known = any(value is not None for values in found.values() for value in values.values())
    return dots(found, series, _LABEL) if known else None


def _judged(goal: Goal) -> tuple[str, str, str, str]:
    target = f"{'≥' if goal.at_least else '≤'} {goal.target:g}"
    return goal.goal, _text(goal.value), target, "met" if goal.met else "missed"


def _text(value: Cell) -> str:
    if value is None:
        return "not measured"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
