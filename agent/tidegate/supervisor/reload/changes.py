"""What of agent.yaml a running agent takes up, and what needs a restart. Pure."""

from dataclasses import dataclass

from tidegate.config import AgentConfig

SWAPPED = frozenset(
    {
        "policy",
        "bundle",
        "models",
        "broker",
        "groups",
        "allow_unsigned",
        "trusted_keys",
        "signature_thresholds",
        "telemetry",
        "inputs",
        "pushed_bundles",
        "worker",
        "streams",
        "footage",
        "certificate",
    }
)
"""Keys of agent.yaml that a reload brings into force; all others say what the agent was built around."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The configuration to run from now on, and the keys whose new values are in force after a restart only."""

    config: AgentConfig
    after_restart: tuple[str, ...]


def changes(running: AgentConfig, wanted: AgentConfig) -> Changes:
    """What a reload from one to the other comes to."""
    swapped = {key: getattr(wanted, key) for key in SWAPPED}
    others = [key for key in AgentConfig.model_fields if key not in SWAPPED]
    after_restart = tuple(key for key in others if getattr(running, key) != getattr(wanted, key))
    return Changes(running.model_copy(update=swapped), after_restart)
