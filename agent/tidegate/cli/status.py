"""`tidegate status`: what the running agent says of itself."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fit_terminal, out
from tidegate.cli.running_agent import ConfigOption, ask_status
from tidegate.cli.view import render
from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.supervisor.status.status import to_json


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    state_dir: Annotated[
        Path | None, typer.Option(help="The agent's state directory, instead of --config.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the running agent's device, ladder, policy, decision and telemetry."""
    directory = state_dir if state_dir is not None else load_config(config).state_dir
    found = ask_status(directory)
    if as_json:
        sys.stdout.write(to_json(found) + "\n")
    else:
        height = fit_terminal()
        # In a terminal the most important stands on the screen, with the next prompt under it; a pipe gets it all.
        out.print(render(found, out.width, None if height is None else height - 1))
