"""`tidegate bench serving`."""

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def serving(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """What an answer costs the worker beside the network, for each way to hand a picture over."""
    from tidegate_bench.serving import bench  # noqa: PLC0415 - loads torch

    show(bench.run(quick=quick, progress=progress), as_json)
