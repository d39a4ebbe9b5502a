"""`tidegate bench demo`."""

from tidegate_bench import demo as bench
from tidegate_bench.cli.show import JsonOption, QuickOption, show


def demo(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """The demo's summary, held against its goals."""
    show(bench.run(quick=quick), as_json)
