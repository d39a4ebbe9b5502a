"""`tidegate policy sign`: sign a policy where the key is, for somebody else to push."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import err
from tidegate.cli.policy_envelope import (
    DeviceOption,
    EnvelopeOptionError,
    ExpiresOption,
    FleetOption,
    GroupOption,
    KeyOption,
    PolicyOrEnvelope,
    read_pushed,
    target_of,
)
from tidegate.cli.policy_options import BoardOption
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.files import replace_file


class OutputError(TidegateError):
    """The envelope can't be written."""

    exit_code = EX_UNAVAILABLE


def sign_command(
    file: PolicyOrEnvelope,
    key: KeyOption = None,
    board: BoardOption = None,
    device: DeviceOption = None,
    group: GroupOption = None,
    fleet: FleetOption = False,
    expires: ExpiresOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to, instead of printing it.")
    ] = None,
) -> None:
    """Sign a policy for its target, without a broker; `policy push` takes the envelope that comes out.

    Given such an envelope, it adds a signature.
    """
    if not key:
        raise EnvelopeOptionError(
            "name the private key to sign with: --key FILE; `tidegate key new NAME` makes one"
        )
    pushed = read_pushed(file, board, target_of(device, group, fleet=fleet), key, expires)
    line = pushed.envelope.to_json().decode() + "\n"
    signers = len(pushed.envelope.signatures)
    said = f"{pushed.what} for {pushed.target.topic}, {signers} signature{'s' * (signers > 1)}"
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
    err.print(said, markup=False, soft_wrap=True)
