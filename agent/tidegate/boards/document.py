"""The form of profiles/boards/*.yaml."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from tidegate.boards.device import Device
from tidegate.documents import Kind, refuse
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


class SagPart(Part):
    """How the battery's voltage gives way under current, and where the board loses its power."""

    ohm: float = Field(gt=0, description="the inner resistance of battery and cables, a number")
    full_volts: float = Field(gt=0, description="the voltage of the full battery without a load, a number")
    empty_volts: float = Field(gt=0, description="that of the empty one, a number")
    brown_out_volts: float = Field(gt=0, description="below it the board loses its power, a number")
    reboot: Duration = 60.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.brown_out_volts < self.empty_volts < self.full_volts:
            raise refuse(
                "the voltages are in the wrong order", allowed="brown_out_volts below empty_volts below full_volts"
            )
        return self

    def arguments(self) -> dict[str, float]:
        """Of the simulated device."""
        return {
            "supply_ohm": self.ohm,
            "full_v": self.full_volts,
            "empty_v": self.empty_volts,
            "brown_out_v": self.brown_out_volts,
            "reboot_s": self.reboot,
        }


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
    sag: SagPart | None = None

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
            **({} if self.sag is None else self.sag.arguments()),
        )


class BoardDocument(Part):
    """A whole board profile."""

    KIND: ClassVar = Kind.BOARD

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
