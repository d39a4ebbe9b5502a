"""What all parts of a policy document have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=80)]


class Part(BaseModel):
    """A mapping of known keys; nothing is converted by guess."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
