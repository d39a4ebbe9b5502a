"""agent.yaml: its schema, its defaults, and how it is read."""

from tidegate.config.agent_config import AgentConfig, Worker
from tidegate.config.broker import Broker, Telemetry
from tidegate.config.doors import Frigate, Listen, Web
from tidegate.config.files import DEFAULT_CONFIG, board_profile, config_in, load_config, state_dir_in
from tidegate.config.footage import Footage
from tidegate.config.keys import KeyEntry, KeysFile, trusted_keys
from tidegate.config.models import Model
from tidegate.config.streams import Stream
from tidegate.config.values import ControlName

__all__ = [
    "DEFAULT_CONFIG",
    "AgentConfig",
    "Broker",
    "ControlName",
    "Footage",
    "Frigate",
    "KeyEntry",
    "KeysFile",
    "Listen",
    "Model",
    "Stream",
    "Telemetry",
    "Web",
    "Worker",
    "board_profile",
    "config_in",
    "load_config",
    "state_dir_in",
    "trusted_keys",
]
