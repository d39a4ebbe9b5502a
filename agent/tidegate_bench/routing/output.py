"""Rows of the routing benchmarks as a CSV file and as a picture."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.extras import lacking
from tidegate_bench.figures import Cell


class PlotError(TidegateError):
    """There is no picture; the message says what to install."""

    exit_code = EX_UNAVAILABLE


def write_csv(path: Path, rows: Sequence[Mapping[str, Cell]]) -> None:
    """All rows; a column that a row doesn't have stays empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_plot(path: Path, rows: Sequence[Mapping[str, Cell]], series: str, y: str, title: str) -> None:
    """Threshold against `y`, one line per value of the column `series`. Raises PlotError without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra that only pictures need
    except ModuleNotFoundError as error:
        raise PlotError(f"{path}: no picture is drawn: {lacking('matplotlib')}") from error
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="threshold tau", ylabel=y.replace("_", " "), title=title)
    for name in dict.fromkeys(row[series] for row in rows):
        points = [(row["tau"], row[y]) for row in rows if row[series] == name]
        numbers = sorted((tau, value) for tau, value in points if _number(tau) and _number(value))
        if numbers:
            axes.plot(*zip(*numbers, strict=True), marker="o", label=str(name))
    axes.set_ylim(-0.02, 1.02)
    axes.legend()
    figure.savefig(path)


def _number(value: Cell) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
