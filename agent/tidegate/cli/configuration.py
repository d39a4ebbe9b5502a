"""The agent's configuration as commands take it: one default place, one kind of error."""

from pathlib import Path

from tidegate.cli.console import EX_CONFIG, fail
from tidegate.config import AgentConfig, load_config
from tidegate.documents import DocumentError

DEFAULT_CONFIG = Path("/etc/tidegate/agent.yaml")


def read_config(path: Path) -> AgentConfig:
    """The configuration in a file; a wrong one ends the command with its errors and EX_CONFIG."""
    try:
        return load_config(path)
    except DocumentError as error:
        fail(str(error), EX_CONFIG)
