"""Where a signed envelope goes: to a file, or printed."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import err
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.files import replace_file
from tidegate.trust.dsse import Envelope

OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Where to, instead of printing it.")]


class OutputError(TidegateError):
    """The envelope can't be written."""

    exit_code = EX_UNAVAILABLE


def write_envelope(envelope: Envelope, output: Path | None, what: str) -> None:
    """Write or print it, and say how often it is signed. Raises OutputError."""
    line = envelope.to_json().decode() + "\n"
    signers = len(envelope.signatures)
    said = f"{what}, {signers} signature{'s' * (signers > 1)}"
    if output is None:
        sys.stdout.write(line)
    else:
        if output.is_dir():
            raise OutputError(f"{output}: can't be written: it is a directory; name a file in it with --output")
        try:
            replace_file(output, line)
        except OSError as error:
            raise OutputError(
                f"{output}: can't be written: {error.strerror}; name another with --output"
            ) from error
        said += f": {output}"
    err.say(said)
