"""`tidegate diag`: one archive to send to whoever helps, with secrets masked."""

import io
import os
import sys
import tarfile
import time
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail, out, waiting
from tidegate.cli.diagnosis.gather import gather
from tidegate.cli.diagnosis.secrets import known_secrets, masked
from tidegate.cli.told import told
from tidegate.config import DEFAULT_CONFIG, AgentConfig, load_config
from tidegate.documents import DocumentError
from tidegate.errors import EX_UNAVAILABLE


def diag(
    config: Annotated[Path, typer.Option(help="The agent's configuration.")] = DEFAULT_CONFIG,
    output: Annotated[Path | None, typer.Option(help="The archive, tidegate-diag-TIME.tar.gz by default.")] = None,
) -> None:
    """Gather configuration, status, checks, sensors, the journal and crash reports in one archive.

    What is secret in agent.yaml, in the files it names, in the environment and systemd's credentials is masked.
    """
    parsed: AgentConfig | None
    try:
        parsed = load_config(config)
    except DocumentError:
        parsed = None  # the archive is wanted all the more, and says why
    secrets = known_secrets(config, os.environ)
    path = output or Path(f"tidegate-diag-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz")
    try:
        with waiting("gathering"), tarfile.open(path, "w:gz") as archive:
            for name, text in gather(config, parsed):
                content = masked(text, secrets).encode()
                entry = tarfile.TarInfo(f"tidegate-diag/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(content))
        path.chmod(0o600)
    except OSError as error:
        fail(f"{path}: {error.strerror}; name another file with --output", EX_UNAVAILABLE)
    said = f"{path}: secrets are masked; look through it before you send it"
    out.say(told(said, sys.argv))
