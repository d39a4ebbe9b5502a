"""`tidegate bench pays`."""

from tidegate.cli.build_progress import BuildProgress
from tidegate_bench.cli.show import JsonOption, QuickOption, show


def pays(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Six trained networks nobody tuned to: the cheapest certified point against the fastest fixed engine in
    int8.
    """
    from tidegate_bench.pays import bench  # noqa: PLC0415 - needs torch

    with BuildProgress() as progress:
        figures = bench.run(quick=quick, progress=progress)
    show(figures, as_json)
