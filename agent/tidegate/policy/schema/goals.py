"""Goals and the drift guard in a policy document."""

from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tidegate.documents import refuse
from tidegate.policy import policy as data
from tidegate.policy.schema.part import Part
from tidegate.policy.schema.times import TimeOfDay
from tidegate.quantities.units import Duration, Energy, Latency, Percent, Power, Share, Temperature


class UntilPart(Part):
    """`{time: "18:00", reserve: 10 %}`."""

    time: TimeOfDay
    reserve: Percent = data.Goals().reserve_percent


def _until_branch(value: object) -> str:
    return "<reserve>" if isinstance(value, dict) else "<time>"


BatteryUntil = Annotated[
    Annotated[TimeOfDay, Tag("<time>")] | Annotated[UntilPart, Tag("<reserve>")],
    Discriminator(_until_branch),
    Field(description='a time of day such as "18:00", or {time: "18:00", reserve: 10 %}'),
]


class PanelPart(Part):
    """`{peak: 10 W, rise: "06:00", set: "19:00"}`: a solar panel that the battery's goal may count on."""

    peak: Power
    rise: TimeOfDay = data.Panel(0.0).rise
    set: TimeOfDay = data.Panel(0.0).set


_LEAST_PERIOD_S = 300.0
_LONGEST_PERIOD_S = 86400.0


class DutyCyclePart(Part):
    """`{asleep: 80 mW, period: 30 min}`: that the goals may have the device sleep, and what it draws then."""

    asleep: Power = Field(description="what the device draws while it sleeps, for example `asleep: 80 mW`")
    period: Duration = data.DutyCycle(0.0).period_s


class GoalsPart(Part):
    """What the controller spends its budgets on: as many correct answers as meet all of these."""

    battery_until: BatteryUntil | None = None
    energy_per_day: Energy | None = None
    latency_p95: Latency | None = None
    temperature_ceiling: Temperature | None = None
    panel: PanelPart | None = None
    duty_cycle: DutyCyclePart | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise refuse("no goals", allowed=", ".join(type(self).model_fields))
        for key in ("energy_per_day", "latency_p95"):
            if getattr(self, key) == 0:
                raise refuse("a goal that nothing can meet", allowed="more than zero", at=(key,))
        if self.duty_cycle is not None and self.battery_until is None:
            hint = "add `battery_until`, or leave `duty_cycle` out"
            raise refuse("nothing to sleep for", hint=hint, at=("duty_cycle",))
        if self.duty_cycle is not None and self.duty_cycle.period < _LEAST_PERIOD_S:
            raise refuse("wakes too often", allowed="5 min to 24 h", at=("duty_cycle", "period"))
        if self.duty_cycle is not None and self.duty_cycle.period > _LONGEST_PERIOD_S:
            raise refuse(
                "longer than any battery has to last by `battery_until`",
                allowed="5 min to 24 h",
                at=("duty_cycle", "period"),
            )
        return self

    def goals(self) -> data.Goals:
        """The goals as data."""
        until, cycle = self.battery_until, self.duty_cycle
        reserved = until if isinstance(until, UntilPart) else None
        return data.Goals(
            battery_until=reserved.time if reserved is not None else until,  # type: ignore[arg-type]  # never the part
            reserve_percent=data.Goals().reserve_percent if reserved is None else reserved.reserve,
            energy_per_day_j=self.energy_per_day,
            latency_p95_ms=self.latency_p95,
            temperature_ceiling_c=self.temperature_ceiling,
            panel=None if self.panel is None else data.Panel(self.panel.peak, self.panel.rise, self.panel.set),
            duty_cycle=None if cycle is None else data.DutyCycle(cycle.asleep, cycle.period),
        )


class DriftGuardPart(Part):
    """`{share: 1 %, below: 60 C}`: how many requests the full model answers too, and when."""

    share: Share = data.DriftGuard().share
    below: Temperature = data.DriftGuard().below_c

    def guard(self) -> data.DriftGuard:
        """The guard as data."""
        return data.DriftGuard(self.share, self.below)
