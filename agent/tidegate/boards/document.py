"""The form of profiles/boards/*.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from tidegate.boards.device import Device
from tidegate.documents import refuse
from tidegate.policy.schema.part import Name, Part
from tidegate.quantities.units import (
    DURATION,
    ENERGY,
    MEMORY,
    PERCENT,
    POWER,
    TEMPERATURE,
    Duration,
    Energy,
    Percent,
    Power,
    Temperature,
    quantity,
)

_DIMENSIONS = (TEMPERATURE, POWER, PERCENT, MEMORY, DURATION, ENERGY)


def _any_quantity(value: object, _info: ValidationInfo) -> str:
    units = [unit for dimension in _DIMENSIONS for unit in dimension.units]
    if isinstance(value, str):
        for dimension in _DIMENSIONS:
            if value.strip().split(" ")[-1] in dimension.units:
                quantity(value, dimension)
                return value
    raise refuse("expected a quantity", allowed="a number, a space and one of " + ", ".join(units))


Quantity = Annotated[str, BeforeValidator(_any_quantity)]


class FactPart(Part):
    """One thing known of the board, and from where."""

    fact: str = Field(min_length=1)
    source: str = Field(min_length=1, description="a document, or `assumed` with the reason")


class DevicePart(Part):
    """How the board is simulated; every figure is an estimate until `policy simulate --fit` replaces it."""

    idle: Power
    active: Power = Field(description="what one busy core draws above idle, for example `2 W`")
    battery: Energy | None = None
    charge: Power | None = None
    heat_k_per_w: float = Field(gt=0, description="kelvin above ambient per watt, a number")
    heat_span: Duration = Field(description="the time constant of warming up, for example `300 s`")
    throttle: Temperature
    throttle_release: Temperature
    throttle_speed: Percent = 60.0
    ambient: Temperature = 22.0
    supply: Power

    @model_validator(mode="after")
    def _releases_below(self) -> Self:
        if self.throttle_release > self.throttle:
            raise refuse(
                "throttle_release is above throttle", allowed="at most `throttle`", at=("throttle_release",)
            )
        if self.heat_span < 1 or self.throttle_speed < 1:
            raise refuse("too small to be simulated", allowed="heat_span from 1 s, throttle_speed from 1 %")
        return self

    def device(self, name: str) -> Device:
        """The simulated device."""
        return Device(
            name=name,
            idle_w=self.idle,
            active_w=self.active,
            battery_wh=None if self.battery is None else self.battery / 3600.0,
            charge_w=1e9 if self.charge is None else self.charge,
            heat_k_per_w=self.heat_k_per_w,
            heat_span_s=self.heat_span,
            throttle_c=self.throttle,
            throttle_release_c=self.throttle_release,
            throttle_speed=self.throttle_speed / 100.0,
            ambient_c=self.ambient,
            supply_w=self.supply,
        )


class BoardDocument(Part):
    """A whole board profile."""

    tidegate_board: Literal[1] = Field(description="the version of this format: `tidegate_board: 1`")
    name: Name
    title: str = Field(min_length=1)
    facts: Annotated[list[FactPart], Field(min_length=1)]
    limits: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], Quantity] = Field(default_factory=dict)
    zones: dict[Name, Name] = Field(default_factory=dict)
    policy: dict[str, Any] = Field(
        default_factory=dict, description="keys of a policy that apply unless a policy sets them"
    )
    device: DevicePart
