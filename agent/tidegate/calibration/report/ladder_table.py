"""A ladder as a Markdown table, and the page that shows the shipped one kept current.

`python -m tidegate.calibration.report.ladder_table docs/ladder.md profiles/bundles/digits` writes the page anew.
"""

import sys
from pathlib import Path

from tidegate.calibration.report.marked_section import markdown_table, with_section
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Ladder, OperatingPoint

BEGIN = "<!-- ladder: written by agent/tidegate/calibration/report/ladder_table.py -->"
END = "<!-- /ladder -->"

COLUMNS = (
    "point",
    "certified loss",
    "failures in C",
    "accuracy",
    "newly wrong",
    "disagreement",
    "blocks skipped",
    "operations",
    "weights",
    "p50",
    "p95",
)


def ladder_table(ladder: Ladder) -> str:
    """Markdown, one row per operating point, full first."""
    return markdown_table(COLUMNS, [cells(point) for point in ladder.points])


def with_table(page: str, ladder: Ladder) -> str:
    """The page's text with the ladder's table. Raises ValueError for a page without its two marks."""
    return with_section(page, BEGIN, END, ladder_table(ladder))


def cells(point: OperatingPoint) -> tuple[str, ...]:
    """One point's row, as COLUMNS has them."""
    figures, certificate = point.figures, point.certificate
    certified = "none" if certificate is None else f"{certificate.alpha:.1%}"
    failures = "" if certificate is None else f"{certificate.failures} of {certificate.n}"
    return (
        f"`{point.name}`",
        certified,
        failures,
        _share(figures.accuracy),
        _share(figures.newly_wrong),
        _share(figures.disagreement),
        _share(figures.skip_ratio),
        _share(figures.flops_ratio),
        f"{figures.weights_resident_bytes / 1024:,.0f} KiB",
        f"{figures.latency_p50_ms:.2f} ms",
        f"{figures.latency_p95_ms:.2f} ms",
    )


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1%}"


if __name__ == "__main__":
    target, bundle = map(Path, sys.argv[1:])
    target.write_text(with_table(target.read_text(), open_bundle(bundle).ladder))
