"""What a rule asks for in a policy document: `use` and `limit`."""

from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tidegate.documents import refuse
from tidegate.policy import policy as data
from tidegate.policy.schema.part import Name, Part
from tidegate.quantities.units import Latency, Memory, Power, Rate, Share


class BoundsPart(Part):
    """`{max_accuracy_loss: 1.5 %, max_power: 3 W}`."""

    max_accuracy_loss: Share | None = None
    max_power: Power | None = None
    max_latency: Latency | None = None
    max_memory: Memory | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise refuse("no bounds", allowed=", ".join(type(self).model_fields))
        return self

    def use(self) -> data.Bounds:
        """The bounds as data."""
        return data.Bounds(self.max_accuracy_loss, self.max_power, self.max_latency, self.max_memory)


def _use_branch(value: object) -> str:
    return "<point>" if isinstance(value, str) else "<bounds>"


UsePart = Annotated[
    Annotated[Name, Tag("<point>")] | Annotated[BoundsPart, Tag("<bounds>")],
    Discriminator(_use_branch),
    Field(description="`full`, `cheapest`, `pause`, the name of a point, or bounds such as {max_power: 3 W}"),
]


def use(part: str | BoundsPart) -> data.Use:
    """The choice of a point that the part stands for."""
    match part:
        case "full":
            return data.Full()
        case "cheapest":
            return data.Cheapest()
        case "pause":
            return data.Pause()
        case str():
            return data.Named(part)
        case _:
            return part.use()


class LimitPart(Part):
    """`{rate: 2 Hz, concurrency: 1}`: what is beyond is turned away with a time to ask again."""

    rate: Rate | None = None
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise refuse("no limit", allowed=", ".join(type(self).model_fields))
        if self.rate == 0:
            raise refuse("a rate of 0", allowed="more than 0 Hz", hint="write `use: pause`", at=("rate",))
        return self

    def limit(self) -> data.Limit:
        """The limit as data."""
        return data.Limit(self.rate, self.concurrency)
