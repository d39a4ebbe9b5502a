"""`tidegate bench ladder` and `calibration`."""

from tidegate.cli.build_progress import BuildProgress
from tidegate_bench.cli.show import JsonOption, QuickOption, show


def ladder(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Gating rules at equal operations on four small nets, and what is certified of the ladder."""
    from tidegate_bench.ladder import bench  # noqa: PLC0415 - needs torch and scikit-learn

    with BuildProgress() as progress:
        figures = bench.run(quick=quick, progress=progress)
    show(figures, as_json)


def calibration(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """How long it takes to make a ladder: the demo's net, and ResNet-18 at 224x224 with 1,000 pictures."""
    from tidegate_bench.ladder import calibration as bench  # noqa: PLC0415 - needs torch and scikit-learn

    with BuildProgress() as progress:
        figures = bench.run(quick=quick, progress=progress)
    show(figures, as_json)
