"""`tidegate bundle label`: fill a sheet of labels in on a page."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.bundle_path import BundlePath
from tidegate.cli.console import fail, out
from tidegate.cli.counted_on import FootageOption, counted_on
from tidegate.errors import EX_UNAVAILABLE
from tidegate.models.bundle import open_bundle


def label_command(
    bundle: BundlePath,
    labels: Annotated[Path, typer.Option(help="The sheet that `bundle certify --labels` wrote.")],
    data: Annotated[Path | None, typer.Option(help="The pictures that the sheet was written for.")] = None,
    footage: FootageOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    grey: Annotated[bool, typer.Option("--grey", help="Take a folder's pictures without colour.")] = False,
) -> None:
    """Show the inputs that a sheet asks for, one by one, on a page of this machine; each label is kept at once."""
    # They import numpy, which most commands do without.
    from tidegate.calibration.recertify.inputs import DatasetInputs  # noqa: PLC0415
    from tidegate.calibration.recertify.labelling.server import LabelServer  # noqa: PLC0415
    from tidegate.calibration.recertify.labelling.sheet import OpenSheet  # noqa: PLC0415

    opened = open_bundle(bundle)
    found = counted_on(opened, data, footage, grey=grey)
    inputs = found if isinstance(found, DatasetInputs) else found.whole
    sheet = OpenSheet.of(labels, inputs, opened.labels)
    try:
        server = LabelServer(sheet, inputs, port)
    except OSError as error:
        fail(f"--port {port}: {error.strerror}; name another one, or none", EX_UNAVAILABLE)
    with server:
        left, asked = sheet.left()
        out.say(f"{left} of {asked} have no label yet: {server.url}")
        out.say("each label is kept at once; end with Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            left, asked = sheet.left()
            out.say(f"{left} of {asked} are without a label in {labels}")
