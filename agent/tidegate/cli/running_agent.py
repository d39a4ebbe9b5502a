"""The running agent, as several commands find and ask it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tidegate.supervisor.sockets import commands
from tidegate.supervisor.status.socket import FILE_NAME, fetch_status
from tidegate.supervisor.status.status import Status

ConfigOption = Annotated[Path, typer.Option("--config", help="The agent's configuration.")]


def ask_status(state_dir: Path) -> Status:
    """What the agent of this state directory says of itself. Raises StatusError."""
    return asyncio.run(fetch_status(state_dir / FILE_NAME))


def send_command(state_dir: Path, command: commands.Command) -> commands.Done:
    """What the agent of this state directory answers to a command; `refused` says why not."""
    return asyncio.run(commands.send(state_dir / commands.FILE_NAME, command))
