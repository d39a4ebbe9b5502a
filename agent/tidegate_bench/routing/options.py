"""What the experiments of the routing paper can be asked for: the paper's options with its defaults."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

Count = Annotated[int, typer.Option(min=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingOptions:
    """Those of both experiments."""

    dim: Count = 128
    layers: Count = 6
    threshold: float = 0.1
    batch_size: Count = 64
    runs: Count = 5
    seed: int = 42
    output: Annotated[
        Path | None,
        typer.Option(help="Write all rows here (CSV), and a picture beside it (needs the extra plot)."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions(RoutingOptions):
    """And how many inputs to draw."""

    samples: Count = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationOptions(RoutingOptions):
    """And the pictures: a known set, or a directory."""

    dataset: Annotated[
        Literal["digits", "mnist", "fashion-mnist", "folder"],
        typer.Option(metavar="SET", help="digits, which come along, mnist, fashion-mnist or folder."),
    ] = "digits"
    data: Annotated[
        Path | None, typer.Option(help="Directory of the others: IDX files, or train/CLASS and test/CLASS.")
    ] = None
