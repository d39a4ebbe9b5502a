"""The control benchmark's page: every figure of its tables, a dot for each contender, misses named as missed."""

import pytest

from tidegate_bench.control.page import page
from tidegate_bench.figures import Cell, Figures, Goal


def row(trace: str, controller: str, share: float | None, **more: Cell) -> dict[str, Cell]:
    return {"group": "scripted", "trace": trace, "controller": controller, "share": share, **more}


FIGURES = Figures(
    "control",
    [
        row("commute", "tidegate", 0.98),
        row("commute", "always full", 0.5),
        row("commute", "optimum", 1.0),
        row("idle", "tidegate", None),
        {"group": "sagging <supply>", "trace": "old", "controller": "no guard", "brown_outs": 7},
    ],
    [Goal("mean share", 0.95, 0.98), Goal("least share", 0.9, None)],
)


def test_every_figure_is_on_the_page() -> None:
    written = page(FIGURES)
    for shown in (
        "commute, tidegate: 98.0%",
        "commute, always full: 50.0%",
        "Sagging &lt;supply&gt;",
        "<td>7</td>",
    ):
        assert shown in written
    assert written.count("<circle") == 2, "none for the optimum, and none for what was not measured"
    assert written.count("not measured") == 2
    assert "<td>met</td>" in written
    assert "<td>missed</td>" in written


@pytest.mark.parametrize("part", ["<!doctype html>", "default-src", "prefers-color-scheme: dark"])
def test_it_is_one_file_in_the_common_style(part: str) -> None:
    assert part in page(FIGURES)
