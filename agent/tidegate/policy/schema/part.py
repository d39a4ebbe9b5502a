"""What all parts of a policy document have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=80)]


class Part(BaseModel):
    """A mapping of known keys; nothing is converted by guess."""

    # Deferred: most models are parts of another, and their own validators are never asked for.
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True, frozen=True)
