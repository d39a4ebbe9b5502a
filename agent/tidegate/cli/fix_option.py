"""`--fix NAME=NUMBER`: inputs of a model that are one number for good."""

from collections.abc import Sequence
from typing import Annotated

import typer

FixOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fix",
        metavar="NAME=NUMBER",
        help="Of an .onnx file with several inputs: this one is that number, everywhere and always; may be given "
        "again.",
    ),
]


def fixed_inputs(given: Sequence[str]) -> dict[str, float]:
    """By name. Raises typer.BadParameter for what is no `NAME=NUMBER`, and for a name that is given twice."""
    found: dict[str, float] = {}
    for each in given:
        name, _, number = each.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            name = ""
        if not name:
            raise typer.BadParameter(f"--fix {each}: allowed is NAME=NUMBER, such as attention_mask=1")
        if name in found:
            raise typer.BadParameter(f"--fix {each}: {name} is {found[name]:g} already; give one number for each")
        found[name] = value
    return found
