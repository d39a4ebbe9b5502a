"""What several policy commands take: a policy with its board, and a ladder from wherever it is."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.boards import find_profile
from tidegate.cli.console import fail
from tidegate.documents import Document, parse, read
from tidegate.errors import EX_DATAERR
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.ladder_file import read_ladder
from tidegate.models.errors import BundleError
from tidegate.models.ladder import Ladder
from tidegate.paths import profiles_directory
from tidegate.policy.schema import Layered, load_layers
from tidegate.simulation.ladder_document import load_ladder

PolicyFile = Annotated[Path, typer.Argument(help="The policy, YAML.")]
BoardOption = Annotated[
    str | None, typer.Option("--board", help="The board: a ready profile's name or a path that ends in .yaml.")
]
LadderOption = Annotated[
    Path | None, typer.Option("--ladder", help="A bundle, a ladder.json, or a YAML of assumed points.")
]


def read_policy(file: Path, board: str | None, below: Path | None = None) -> tuple[Document, Layered]:
    """A policy file over the layers below it; raises DocumentError."""
    profile = None if board is None else find_profile(board).board
    under = [] if below is None else [parse(read(below), str(below))]
    document = parse(read(file), str(file))
    return document, load_layers(document, profile, under)


def open_ladder(path: Path | None) -> Ladder:
    """The ladder in a bundle or a file; without one the assumed ladder that comes with tidegate."""
    path = path if path is not None else profiles_directory() / "ladders" / "camera.yaml"
    try:
        if path.is_dir():
            return open_bundle(path).ladder
        if path.suffix != ".json":
            return load_ladder(read(path), str(path))
        content = path.read_bytes()
    except BundleError as error:
        fail(str(error), EX_DATAERR)
    except OSError as error:
        allowed = "a bundle, a ladder.json, or a YAML of assumed points"
        fail(f"{path}: can't be read: {error.strerror}; --ladder takes {allowed}", EX_DATAERR)
    try:
        return read_ladder(content)[0]
    except BundleError as error:
        fail(f"{path}: {error}", EX_DATAERR)
