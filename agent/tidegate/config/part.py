"""What all parts of agent.yaml have in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    # Deferred: most models are parts of another, and their own validators are never asked for.
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True, frozen=True)
