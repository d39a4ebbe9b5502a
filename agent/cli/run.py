"""`tidegate run`: the agent as a service."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.configuration import DEFAULT_CONFIG, read_config
from agent.cli.console import EX_CONFIG, EX_UNAVAILABLE, fail
from agent.documents import DocumentError
from agent.supervisor.main import StartError, run_agent


def run(config: Annotated[Path, typer.Option(help="The agent's configuration.")] = DEFAULT_CONFIG) -> None:
    """Serve the model and keep to the policy until SIGTERM or Ctrl-C."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    parsed = read_config(config)
    try:
        asyncio.run(run_agent(parsed))
    except DocumentError as error:
        fail(str(error), EX_CONFIG)
    except StartError as error:
        fail(str(error), EX_UNAVAILABLE)
