"""What the JSON files of a bundle are checked with: unknown keys are refused, and fields have limits."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]
Size = Annotated[int, Field(ge=1, le=2**31)]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StrictModel(BaseModel):
    """A part of a file that can't be changed once read; a key that is not a field is an error."""

    # Deferred: most models are parts of another, and their own validators are never asked for.
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
