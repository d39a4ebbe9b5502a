"""`tidegate run`: the agent as a service."""

from tidegate.cli.become_service import become_service
from tidegate.cli.running_agent import ConfigOption
from tidegate.config import DEFAULT_CONFIG


def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Serve the model and keep to the policy until SIGTERM or Ctrl-C."""
    become_service(str(config))
