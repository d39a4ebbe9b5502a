"""`tidegate bundle coreml`: a bundle's ladder as Core ML packages."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.bundle_path import BundlePath
from tidegate.cli.console import err, fail, out, show_table, waiting
from tidegate.errors import EX_DATAERR
from tidegate.models.bundle import open_bundle
from tidegate.quantities.counted import counted
from tidegate.terminal.table import Table

COLUMNS = ("package", "operating points", "functions", "weights")


def coreml(
    bundle: BundlePath,
    out_directory: Annotated[Path, typer.Option("--out", help="Where the packages go; must not exist.")],
) -> None:
    """Write a bundle's operating points as Core ML packages for macOS 15; not run on hardware yet."""
    opened = open_bundle(bundle)
    from tidegate.engines.coreml.package import write_packages  # noqa: PLC0415 - coremltools is an extra

    if out_directory.exists():
        fail(f"{out_directory}: exists already; name another directory with --out, or remove it", EX_DATAERR)
    with waiting("writing packages"):
        written = write_packages(opened, opened.ladder.points, out_directory)
    show_table(
        Table(
            f"{opened.model}: Core ML packages",
            COLUMNS,
            [
                (
                    each.path.name,
                    f"{len(each.functions)} of {len(opened.ladder.points)}",
                    str(sum(len(names) for names in each.functions.values())),
                    f"{each.weights_bytes / 1024:,.0f} KiB",
                )
                for each in written
            ],
        )
    )
    for each in written:
        for point, reason in each.refused.items():
            err.say(f"{each.path.name} has no {point}: {reason}")
    out.say(f"wrote {counted(len(written), 'package')} to {out_directory}; not run on hardware yet")
