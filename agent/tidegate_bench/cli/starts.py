"""`tidegate bench starts`."""

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def starts(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Whether and when an agent answers that starts, from nothing and with what an earlier start left."""
    from tidegate_bench.starts import bench  # noqa: PLC0415 - as its neighbours

    show(bench.run(quick=quick, progress=progress), as_json)
