"""`--data` and `--footage`: what certificates are counted on, and labels are given for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.console import fail
from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.documents import DocumentError
from tidegate.errors import EX_USAGE
from tidegate.models.bundle import Bundle

if TYPE_CHECKING:
    from tidegate.calibration.recertify.inputs import DatasetInputs, Footage

FootageOption = Annotated[
    Path | None,
    typer.Option(
        help="The state directory of an agent that keeps frames, or a copy of its `footage`; by default, without "
        f"--data, that of {DEFAULT_CONFIG}."
    ),
]


def counted_on(
    bundle: Bundle, data: Path | None, footage: Path | None, *, grey: bool
) -> "DatasetInputs | Footage":
    """A user's data, or the frames that an agent keeps here. Raises DataError."""
    from tidegate.calibration.data.datasets import ImageSpec, read_data  # noqa: PLC0415 - numpy
    from tidegate.calibration.recertify.inputs import DatasetInputs, read_footage  # noqa: PLC0415 - numpy

    if data is not None and footage is not None:
        fail("--data and --footage: name one of them", EX_USAGE)
    if data is not None:
        return DatasetInputs(read_data(data, ImageSpec(bundle.input.shape[-1], grey)))
    return read_footage(_default() if footage is None else footage)


def _default() -> Path:
    try:
        return load_config(DEFAULT_CONFIG).state_dir
    except DocumentError as error:
        fail(f"name --data, or --footage with an agent's state directory ({error})", EX_USAGE)
