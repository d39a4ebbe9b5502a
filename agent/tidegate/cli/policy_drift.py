"""`tidegate policy drift`: the points that the drift guard took off the ladder, and how they get back on it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail, out
from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.errors import EX_DATAERR
from tidegate.supervisor.sockets.commands import FILE_NAME as COMMANDS
from tidegate.supervisor.sockets.commands import ForgetDrift, send
from tidegate.supervisor.status.socket import FILE_NAME, fetch_status


def drift_command(
    config: Annotated[Path, typer.Option("--config", help="The running agent's configuration.")] = DEFAULT_CONFIG,
    forget: Annotated[str | None, typer.Option("--forget", help="Put this point back on the ladder.")] = None,
    forget_all: Annotated[bool, typer.Option("--forget-all", help="Put all of them back.")] = False,
) -> None:
    """Show the points that disagreed more than their certificates allow, or put them back on the ladder."""
    state_dir = load_config(config).state_dir
    if forget is not None or forget_all:
        _forget(state_dir, None if forget_all else forget)
        return
    demotions = asyncio.run(fetch_status(state_dir / FILE_NAME)).demotions
    for each in demotions:
        out.print(f"{each.point}: off the ladder since {each.since}: it {each.because}", markup=False)
    if not demotions:
        out.print("no point is off the ladder")


def _forget(state_dir: Path, point: str | None) -> None:
    done = asyncio.run(send(state_dir / COMMANDS, ForgetDrift(point)))
    if done.refused:
        fail(done.refused, EX_DATAERR)
    if not done.points:
        fail("nothing to forget: no such point is off the ladder", EX_DATAERR)
    out.print(f"back on the ladder: {', '.join(done.points)}", markup=False)
