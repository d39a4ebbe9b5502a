"""The table in docs/ladder.md is the shipped ladder's."""

from pathlib import Path

import pytest

from tidegate.calibration.assemble.plan import ALPHAS, DELTA
from tidegate.calibration.report.ladder_table import with_table
from tidegate.models.bundle import open_bundle
from tidegate.models.exact_test import samples_needed

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "ladder.md"
LADDER = open_bundle(ROOT / "profiles" / "bundles" / "digits").ladder


def test_the_page_shows_the_shipped_ladder() -> None:
    page = PAGE.read_text()
    refresh = "python -m tidegate.calibration.report.ladder_table docs/ladder.md profiles/bundles/digits"
    assert page == with_table(page, LADDER), f"write it anew: {refresh}"


def test_every_point_has_a_row() -> None:
    page = PAGE.read_text()
    assert all(f"| `{point.name}` |" in page for point in LADDER.points)


def test_sample_sizes_named_on_the_page_are_right() -> None:
    page = PAGE.read_text()
    for alpha in (0.01, 0.005):
        assert str(samples_needed(alpha, DELTA / len(ALPHAS))) in page


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the page has no"):
        with_table("# nothing here", LADDER)
