"""`tidegate bench batching`."""

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def batching(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """What a sample costs in a batch, over what it costs by itself."""
    from tidegate_bench.batching import bench  # noqa: PLC0415 - loads torch

    show(bench.run(quick=quick, progress=progress), as_json)
