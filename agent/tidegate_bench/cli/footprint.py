"""`tidegate bench footprint`."""

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show
from tidegate_bench.footprint import bench


def footprint(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Memory, CPU, wake-ups and writes of an idle agent (a quarter of an hour), and what its start takes."""
    show(bench.run(quick=quick, progress=progress), as_json)
