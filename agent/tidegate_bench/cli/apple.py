"""`tidegate bench apple`."""

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show


def apple(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """What Apple's runtimes are given, as far as it can be shown without a Mac: size, sharing, error."""
    from tidegate_bench.apple import bench  # noqa: PLC0415 - needs torch, coremltools and MLX

    show(bench.run(quick=quick, progress=progress), as_json)
