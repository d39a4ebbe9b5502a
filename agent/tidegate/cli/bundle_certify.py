"""`tidegate bundle certify`: a ladder's certificates, counted on inputs of one's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.bundle_certificate import write_certificate
from tidegate.cli.bundle_path import BundlePath
from tidegate.cli.console import err, fail, out, show_table
from tidegate.cli.signers import KeyOption, signers
from tidegate.cli.view import format_risk
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.errors import EX_DATAERR
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.paths import cache_directory
from tidegate.terminal.table import Table

if TYPE_CHECKING:
    from tidegate.api.certifying import Recertified


def certify_command(
    bundle: BundlePath,
    data: Annotated[
        Path, typer.Option(help="A folder of pictures, an .npz file, or IDX files: with labels or without.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="The sheet with the labels asked for: read if it is there, and written with what is asked."
        ),
    ] = None,
    clip: Annotated[int, typer.Option(min=1, help="Frames in a row that are one clip: clips are counted.")] = 1,
    delta: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Chance of any certificate being wrong.")
    ] = 0.05,
    alpha: Annotated[
        list[float] | None, typer.Option(min=0.0001, max=0.5, help="A loss to certify; may be given again.")
    ] = None,
    key: KeyOption = None,
    grey: Annotated[bool, typer.Option("--grey", help="Take a folder's pictures without colour.")] = False,
    engine: Annotated[str, typer.Option(help="The engine that answers here.")] = AUTO,
    out_directory: Annotated[
        Path | None, typer.Option("--out", help="Write the bundle with these certificates; must not exist.")
    ] = None,
) -> None:
    """Count a ladder's certificates again, on inputs of the place where it answers, with few labels or none."""
    # They import numpy and an engine, which most commands do without.
    from tidegate.api.certifying import recertified  # noqa: PLC0415
    from tidegate.calibration.data.datasets import ImageSpec, read_data  # noqa: PLC0415
    from tidegate.calibration.recertify.counting import ALPHAS, clips_of, unlabelled  # noqa: PLC0415
    from tidegate.calibration.recertify.label_file import asked_rows, read_labels, write_sheet  # noqa: PLC0415
    from tidegate.calibration.recertify.recertify import answered, with_certificates  # noqa: PLC0415
    from tidegate.engines.runtime.registry import open_engine  # noqa: PLC0415
    from tidegate.models.bundle.evidence import scaled  # noqa: PLC0415

    opened = open_bundle(bundle)
    if key and out_directory is None:
        fail("--key signs what --out writes: name a directory with --out", EX_DATAERR)
    if out_directory is not None and out_directory.exists():
        fail(f"--out {out_directory}: is there already; name a directory that isn't", EX_DATAERR)
    # Before minutes of counting, and before a directory is written that a second try would find in its way.
    named = signers(key or ())
    read = read_data(data, ImageSpec(opened.input.shape[-1], grey))
    inputs = scaled(read.inputs, read.scale)
    given: Mapping[int, str] = {}
    known = read.labels
    if labels is not None and labels.exists():
        known, given = read_labels(labels, len(inputs), opened.labels, read.files)
    elif labels is not None and known is None:
        known = unlabelled(len(inputs))
    clips = None if clip == 1 else clips_of(len(inputs), clip)
    here = open_engine(engine, opened, cache_directory())
    found = answered(opened, here, inputs, lambda line: err.print(line, markup=False), read.objects)
    alphas = sorted(alpha or ALPHAS)
    counted = recertified(found, known, clips, alphas, delta)
    tries = -(-len(inputs) // clip)
    show_table(_table(opened, counted, tries))
    for name, reason in found.left_out.items():
        out.print(f"{name}: left out: {reason}", markup=False, soft_wrap=True)
    if found.full is not None and len(counted.to_label):
        _say_what_to_label(len(counted.to_label), labels)
        if labels is not None:
            full = [opened.labels[index] if index < len(opened.labels) else str(index) for index in found.full]
            write_sheet(labels, asked_rows(counted.to_label.tolist(), read.files, full, given), given)
    if out_directory is not None:
        with_certificates(opened, counted.certificates, alphas, delta, read, out_directory)
        out.print(f"wrote {out_directory}", markup=False)
        if named:
            labelled = 0 if known is None else int((known >= 0).sum())
            write_certificate(out_directory, named, here.name, inputs=len(inputs), clip=clip, labelled=labelled)


def _table(bundle: Bundle, found: "Recertified", tries: int) -> Table:
    """Each point's certificate as it was and as it is on these inputs."""
    rows = [
        (
            point.name,
            format_risk(point.certified_risk),
            format_risk(None if (held := found.certificates[point.name]) is None else held.alpha),
            f"{found.failures[point.name]} of {tries}",
        )
        for point in bundle.ladder.points
        if point.name in found.failures
    ]
    return Table(f"{bundle.model}: certified", ("operating point", "as built", "here", "failures"), rows)


def _say_what_to_label(count: int, sheet: Path | None) -> None:
    if sheet is None:
        out.print(
            f"without a label, though points differ from full there: {count}; they count as failures; "
            "--labels SHEET.csv writes a sheet to label them in",
            markup=False,
            soft_wrap=True,
        )
        return
    out.print(
        f"inputs that need a label: {count}, the most wanted first; fill in `label` in {sheet} and run this again",
        markup=False,
        soft_wrap=True,
    )
