"""`tidegate reload`: have the running agent take up its changed agent.yaml, policy and bundle."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import err, fail, out
from tidegate.config import DEFAULT_CONFIG, load_config, state_dir_in
from tidegate.documents import DocumentError
from tidegate.errors import EX_CONFIG
from tidegate.network.shut_out import shut_out_of_service
from tidegate.supervisor.sockets.commands import FILE_NAME as COMMANDS
from tidegate.supervisor.sockets.commands import ReloadConfig, send


def reload(
    config: Annotated[Path, typer.Option(help="The running agent's configuration.")] = DEFAULT_CONFIG,
    state_dir: Annotated[
        Path | None, typer.Option(help="The agent's state directory, if `config` names another one by now.")
    ] = None,
) -> None:
    """Bring the changed configuration into force and return when it is; with 78 when the agent keeps the old one.

    Policy, bundle, certificate, broker, groups, telemetry, inputs, footage, worker are swapped while it answers.
    What needs a restart is named.
    """
    directory = _state_dir(config) if state_dir is None else state_dir
    done = asyncio.run(send(directory / COMMANDS, ReloadConfig()))
    if done.refused:
        fail(f"not reloaded, the agent goes on as before: {done.refused}", EX_CONFIG)
    out.say(f"reloaded: {'; '.join(done.changed) or 'nothing has changed'}")
    if done.after_restart:
        out.say(f"in force after a restart only: {', '.join(done.after_restart)}")
    _warn_of_unit(config)


def _warn_of_unit(config: Path) -> None:
    """Of the file as it is now: what waits for a restart is shut out as well."""
    with suppress(DocumentError):
        if (found := shut_out_of_service(load_config(config), config)) is not None:
            err.say(f"{found.said}; {found.way_out}")


def _state_dir(config: Path) -> Path:
    """Where the agent is to be asked, also by a file that is wrong elsewhere: the agent then says so of itself."""
    try:
        return load_config(config).state_dir
    except DocumentError:
        directory = state_dir_in(config)
        if directory is None or not (directory / COMMANDS).exists():
            raise
        return directory
