"""`tidegate bench demo`."""

from agent.bench import demo as bench
from agent.cli.bench.show import JsonOption, QuickOption, show
from agent.cli.console import fail


def demo(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """The demo's summary, held against its goals."""
    try:
        show(bench.run(quick=quick), as_json)
    except bench.BenchError as error:
        fail(str(error), 1)
