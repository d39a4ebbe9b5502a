"""Settings of the device in a policy document: `controls`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tidegate.documents import refuse
from tidegate.policy import policy as data
from tidegate.policy.schema.part import Part
from tidegate.quantities.units import Frequency

KernelWord = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class ControlsPart(Part):
    """`{cpu_governor: powersave, platform_profile: low-power}`: set while the rule is in force, then put back.

    Which words a device knows is its kernel's affair: one policy may go to many boards.
    """

    cpu_governor: KernelWord | None = Field(None, description="a word of scaling_available_governors")
    cpu_max_frequency: Frequency | None = None
    platform_profile: KernelWord | None = Field(None, description="a word of platform_profile_choices")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise refuse("no controls", allowed=", ".join(type(self).model_fields))
        return self

    def controls(self) -> data.Controls:
        """The wanted values as the kernel takes them, frequencies in kHz."""
        named = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        return {name: value if isinstance(value, str) else str(round(value)) for name, value in named.items()}
