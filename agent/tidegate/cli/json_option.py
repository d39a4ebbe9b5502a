"""`--json`: what a command found, as one object for programs."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def write_json(found: Mapping[str, object]) -> None:
    """One object on standard output; unknown values are null."""
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
