"""What --key names: the file of a private key, or a key that an SSH agent holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tidegate.trust.key_file import read_private
from tidegate.trust.signer import Signer
from tidegate.trust.ssh_agent import PREFIX, agent_key

KeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help="Key to sign with: a file, or agent:COMMENT (agent:SHA256:...) of an SSH agent; once a signer.",
    ),
]


def signers(keys: Sequence[str]) -> list[Signer]:
    """Each of them. Raises KeyFileError, SshAgentError, SshAgentKeyError."""
    return [
        agent_key(key.removeprefix(PREFIX)) if key.startswith(PREFIX) else read_private(Path(key)) for key in keys
    ]
