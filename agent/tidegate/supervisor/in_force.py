"""What the agent runs by at this moment; a reload puts another one in its place."""

from dataclasses import dataclass

from tidegate.config import AgentConfig
from tidegate.models.bundle import Bundle
from tidegate.supervisor.control.drift_record import DriftRecord


@dataclass(frozen=True, slots=True)
class InForce:
    """The configuration, the bundle that is served, and what is known of its points."""

    config: AgentConfig
    bundle: Bundle
    drift: DriftRecord
