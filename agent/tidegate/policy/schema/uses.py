"""What a rule asks for in a policy document: `use` and `limit`."""

from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tidegate.documents import refuse
from tidegate.policy import policy as data
from tidegate.policy.schema.conditions import InputName
from tidegate.policy.schema.part import Name, Part
from tidegate.policy.schema.times import TimeOfDay
from tidegate.quantities.units import Latency, Memory, Percent, Power, Rate, Share

SLEEP = "sleep"
WAKE_HINT = 'write `wake: {at: "06:00"}`'


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
    Field(description="`full`, `cheapest`, `pause`, `sleep`, a point's name, or bounds such as {max_power: 3 W}"),
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


class WakeBatteryPart(Part):
    """`{above: 40 %}`."""

    above: Percent = Field(lt=100.0, description="the charge above which it wakes, for example 40 %")


class WakePart(Part):
    """`{at: "06:00", battery: {above: 40 %}, input: motion, request: true}`: the first that comes ends a sleep."""

    at: TimeOfDay | None = None
    battery: WakeBatteryPart | None = None
    input: InputName | None = Field(None, description="the name of an input: each new value of it wakes")
    request: bool = Field(False, description="whether a request wakes, and is answered once there is a worker")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set or self.wake() == data.Wake():
            raise refuse("nothing to wake by", allowed=", ".join(type(self).model_fields), hint=WAKE_HINT)
        return self

    def wake(self) -> data.Wake:
        """What wakes, as data."""
        above = None if self.battery is None else self.battery.above
        return data.Wake(self.at, above, self.input, self.request)


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
