"""`tidegate bench routing-synthetic` and `routing-classification`."""

from dataclasses import replace

from tidegate_bench.cli.options_of import options_of
from tidegate_bench.cli.show import progress, show
from tidegate_bench.routing.options import ClassificationOptions, SyntheticOptions


@options_of(SyntheticOptions)
def synthetic(options: SyntheticOptions, as_json: bool, quick: bool) -> None:
    """The activity routing paper's synthetic experiment; a block counts as skipped when it was not computed."""
    from tidegate_bench.routing import synthetic as bench  # noqa: PLC0415 - needs torch, as few commands do

    if quick:
        options = replace(options, samples=min(options.samples, 1000), runs=min(options.runs, 2))
    show(bench.run(options), as_json)


@options_of(ClassificationOptions)
def classification(options: ClassificationOptions, as_json: bool, quick: bool) -> None:
    """The activity routing paper's classification experiment, untrained as published and trained."""
    from tidegate_bench.routing import classification as bench  # noqa: PLC0415 - needs torch, as few commands do

    options = replace(options, runs=min(options.runs, 2)) if quick else options
    show(bench.run(options, progress), as_json)
