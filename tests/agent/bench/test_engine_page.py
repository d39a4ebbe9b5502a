"""Figures of a run on the page: between the marks, and nothing else touched."""

import json

import pytest

from tidegate_bench.engine.page import BEGIN, END, with_figures
from tidegate_bench.figures import Figures, Goal

DOCUMENT = Figures(
    "engine",
    [
        {"network": "a", "latency_ms": 1.23456},
        {"network": "b", "latency_ms": None},
        {"network": "a", "live_mib": 2.0},
    ],
    [Goal("fast", 1.6, 1.7), Goal("small", 90, 91.5, at_least=False), Goal("unknown", 1, None)],
)


def test_rows_of_one_kind_share_a_table_and_what_is_unknown_stays_empty() -> None:
    page = with_figures(f"before\n{BEGIN}\nold\n{END}\nafter\n", json.loads(DOCUMENT.to_json()))
    assert page.startswith(f"before\n{BEGIN}\nMeasured on ")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page
    assert "| network | latency ms |\n|---|---|\n| a | 1.235 |\n| b |  |\n\n| network | live mib |" in page
    assert "| fast | >= 1.6 | 1.7 | met |" in page
    assert "| small | <= 90 | 91.5 | missed |" in page
    assert "| unknown | >= 1 |  | missed |" in page


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no"):
        with_figures("no marks", json.loads(DOCUMENT.to_json()))
