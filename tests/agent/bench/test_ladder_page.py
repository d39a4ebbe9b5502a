"""docs/ladder.md takes its tables from the ladder benchmark's JSON line."""

import json
from pathlib import Path

import pytest

from tidegate_bench.figures import Figures, Goal
from tidegate_bench.ladder.page import SECTIONS, with_figures

PAGE = Path(__file__).parents[3] / "docs" / "ladder.md"


def row(gate: str, level: float, wrong: float | None) -> dict[str, str | float | None]:
    skipped = None if wrong is None else 0.5
    return {"net": "n", "gate": gate, "operations_within": level, "newly_wrong": wrong, "blocks_skipped": skipped}


CERTIFIED = {
    "net": "n",
    "gate": "ladder, certified at 1.5 %",
    "operations": 0.25,
    "operations_worst": 0.3,
    "blocks_skipped": 0.8,
    "newly_wrong": 0.004,
    "full_accuracy": 0.985,
}
FIGURES = Figures(
    "ladder",
    [
        row("ladder", 0.8, 0.012),
        row("ladder", 0.2, None),
        row("random", 0.8, 0.3),
        row("random", 0.2, 1),
        CERTIFIED,
    ],
    [Goal("share", 0.3, 0.25, at_least=False), Goal("lost", 0, 2, at_least=False)],
)


def test_the_page_has_a_place_for_each_section() -> None:
    page = with_figures(PAGE.read_text(), json.loads(FIGURES.to_json()))
    lines = page.splitlines()
    assert "| net | gate | within 80% | within 20% |" in lines
    assert "| n | ladder | 1.2 % (50 %) | - |" in lines
    assert "| n | random | 30.0 % (50 %) | 100.0 % (50 %) |" in lines
    assert "| n | 98.5 % | 25.0 % | 30.0 % | 80.0 % | 0.4 % |" in lines
    assert "| share | <= 0.3 | 0.25 | met |" in lines
    assert "| lost | <= 0 | 2 | **missed** |" in lines
    assert with_figures(page, json.loads(FIGURES.to_json())) == page


@pytest.mark.parametrize("name", SECTIONS)
def test_a_page_without_a_section_is_refused(name: str) -> None:
    page = PAGE.read_text().replace(f"<!-- /{name} -->", "")
    with pytest.raises(ValueError, match=f"the page has no .*{name}"):
        with_figures(page, json.loads(FIGURES.to_json()))
