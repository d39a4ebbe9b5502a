"""A bundle's directory, as commands take it."""

from pathlib import Path
from typing import Annotated

import typer

BundlePath = Annotated[Path, typer.Argument(help="The bundle's directory.")]
