"""`tidegate run`: the agent as a service."""

import os

from tidegate import child
from tidegate.cli.console import fail
from tidegate.cli.running_agent import ConfigOption
from tidegate.config import DEFAULT_CONFIG, load_config
from tidegate.engines.runtime.registry import UnknownEngine, check_installed
from tidegate.errors import EX_UNAVAILABLE


def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Serve the model and keep to the policy until SIGTERM or Ctrl-C."""
    try:
        check_installed(load_config(config).worker.engine)
    except UnknownEngine as error:
        # The worker would find out as well, again and again.
        fail(f"{config}: {error}", EX_UNAVAILABLE)
    # The same process under another program: what the command line imported would stay in memory for months.
    command = child.independent_command("tidegate.supervisor", str(config))
    os.execve(command[0], command, child.environment())  # noqa: S606 - no shell
