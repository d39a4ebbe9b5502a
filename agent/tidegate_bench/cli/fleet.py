"""`tidegate bench fleet-storm`."""

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show
from tidegate_bench.fleet import bench


def storm(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """2,000 agents without models against one mosquitto: its restart, a push to all, and 200 rollouts."""
    show(bench.run(quick=quick, progress=progress), as_json)
