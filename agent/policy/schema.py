"""Policy documents: the pydantic models at the border, and the frozen Policy that comes out."""

import re
from collections.abc import Iterator
from datetime import time
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from agent.documents import load, refuse
from agent.policy import policy as data
from agent.policy.units import Duration, Memory, Percent, Power, Share, Temperature
from drivers.reading import THERMAL_PRESSURES

Number = TypeVar("Number")
Name = Annotated[str, Field(min_length=1, max_length=80)]


def load_policy(text: str, name: str) -> data.Policy:
    """The policy in a text; `name` is the file named in messages. Raises DocumentError for any other text."""
    return load(text, name, PolicyDocument).policy()


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ThresholdPart(_Part, Generic[Number]):
    """`{above: 80 C, until: 72 C, for: 10 s}`."""

    above: Number | None = None
    below: Number | None = None
    until: Number = Field(
        description="`until` is the leave value: once true, the condition holds until it is reached"
    )
    for_: Duration = Field(0.0, alias="for")

    @model_validator(mode="after")
    def _sides(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise refuse(
                "needs one of `above` and `below`", allowed="{above: ..., until: ...}, {below: ..., until: ...}"
            )
        enter, leave = self._enter(), self._leave()
        wrong = leave > enter if self.above is not None else leave < enter
        if wrong:
            side = "above" if self.above is not None else "below"
            good = "at or below" if self.above is not None else "at or above"
            hint = f"`{side}` begins the condition, `until` ends it"
            raise refuse(
                "the leave value is on the wrong side",
                allowed=f"a value {good} `{side}`",
                hint=hint,
                at=("until",),
            )
        return self

    def _enter(self) -> float:
        value = self.above if self.above is not None else self.below
        assert isinstance(value, float)  # noqa: S101 - every Number is a float; the validator above saw one side
        return value

    def _leave(self) -> float:
        assert isinstance(self.until, float)  # noqa: S101 - every Number is a float
        return self.until

    def condition(self, path: str, reading: str) -> data.Threshold:
        side = data.Side.ABOVE if self.above is not None else data.Side.BELOW
        return data.Threshold(path, reading, side, self._enter(), self._leave(), self.for_)


class LevelPart(_Part):
    """`{at_least: serious, until: nominal}`."""

    at_least: Literal["fair", "serious", "critical"]
    until: Literal["nominal", "fair", "serious"] | None = None

    @model_validator(mode="after")
    def _sides(self) -> Self:
        scale = THERMAL_PRESSURES
        if self.until is not None and scale.index(self.until) >= scale.index(self.at_least):
            allowed = ", ".join(scale[: scale.index(self.at_least)])
            raise refuse("the leave value is on the wrong side", allowed=allowed, at=("until",))
        return self

    def condition(self, path: str, reading: str) -> data.Level:
        scale = THERMAL_PRESSURES
        leave = self.until or scale[scale.index(self.at_least) - 1]
        return data.Level(path, reading, scale, self.at_least, leave)


class ConditionPart(_Part):
    """One condition: a single key, either a reading or `any`, `all`, `not`."""

    any_of: Annotated[list["ConditionPart"], Field(min_length=1)] | None = Field(None, alias="any")
    all_of: Annotated[list["ConditionPart"], Field(min_length=1)] | None = Field(None, alias="all")
    negated: "ConditionPart | None" = Field(None, alias="not")
    battery: ThresholdPart[Percent] | None = None
    temperature: ThresholdPart[Temperature] | None = None
    power: ThresholdPart[Power] | None = None
    cpu: ThresholdPart[Percent] | None = None
    memory_available: ThresholdPart[Memory] | None = None
    memory_pressure: ThresholdPart[Percent] | None = None
    power_source: Literal["battery", "external"] | None = None
    thermal_pressure: LevelPart | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            hint = "put several conditions in a list behind `any` or `all`"
            raise refuse(f"a condition has one key, here are {len(self.model_fields_set)}", hint=hint)
        return self

    def condition(self, path: str) -> data.Condition:
        if self.any_of is not None:
            return data.AnyOf(tuple(_conditions(self.any_of, f"{path}.any")))
        if self.all_of is not None:
            return data.AllOf(tuple(_conditions(self.all_of, f"{path}.all")))
        if self.negated is not None:
            return data.Not(self.negated.condition(f"{path}.not"))
        (reading,) = self.model_fields_set
        part: str | LevelPart | ThresholdPart[float] = getattr(self, reading)
        here = f"{path}.{reading}"
        return data.Equals(here, reading, part) if isinstance(part, str) else part.condition(here, reading)


def _conditions(parts: list[ConditionPart], path: str) -> Iterator[data.Condition]:
    return (part.condition(f"{path}[{index}]") for index, part in enumerate(parts))


class BoundsPart(_Part):
    """`{max_accuracy_loss: 1.5 %, max_power: 3 W}`."""

    max_accuracy_loss: Share | None = None
    max_power: Power | None = None
    max_latency: Duration | None = None
    max_memory: Memory | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise refuse("no bounds", allowed=", ".join(type(self).model_fields))
        return self

    def use(self) -> data.Bounds:
        latency_ms = None if self.max_latency is None else self.max_latency * 1000
        return data.Bounds(self.max_accuracy_loss, self.max_power, latency_ms, self.max_memory)


def _use_branch(value: object) -> str:
    return "<point>" if isinstance(value, str) else "<bounds>"


UsePart = Annotated[
    Annotated[Name, Tag("<point>")] | Annotated[BoundsPart, Tag("<bounds>")],
    Discriminator(_use_branch),
    Field(description="`full`, `cheapest`, the name of an operating point, or bounds such as {max_power: 3 W}"),
]


def _use(part: str | BoundsPart) -> data.Use:
    match part:
        case "full":
            return data.Full()
        case "cheapest":
            return data.Cheapest()
        case str():
            return data.Named(part)
        case _:
            return part.use()


def _time_of_day(value: object) -> time:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", value, re.ASCII) if isinstance(value, str) else None
    if match is None:
        raise refuse("expected a time of day", allowed='"00:00" to "23:59"', hint='for example "06:30"')
    return time(int(match[1]), int(match[2]))


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


def _two_times(times: list[time]) -> list[time]:
    if len(times) != 2 or times[0] == times[1]:
        raise refuse("expected two different times of day", allowed='a list such as ["22:00", "06:00"]')
    return times


class RulePart(_Part):
    """One rule."""

    name: Name
    when: ConditionPart | None = None
    between: Annotated[list[TimeOfDay], AfterValidator(_two_times)] | None = None
    use: UsePart
    urgent: bool = False

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.when is None and self.between is None:
            hint = "what holds always belongs into `default`"
            raise refuse("a rule needs `when`, `between` or both", hint=hint)
        return self

    def rule(self, path: str) -> data.Rule:
        when = None if self.when is None else self.when.condition(f"{path}.when")
        between = None if self.between is None else data.Between(*self.between)
        return data.Rule(self.name, _use(self.use), when, between, self.urgent)


class DefaultPart(_Part):
    """What to use while no rule holds."""

    use: UsePart = "full"


class DwellPart(_Part):
    """The least time between two switches."""

    down: Duration = data.Dwell().down_s
    up: Duration = data.Dwell().up_s


LevelMissing = Literal["assume_low", "assume_high", "ignore"]
HeatMissing = Literal["assume_cool", "assume_hot", "ignore"]


class OnMissingPart(_Part):
    """What each reading counts as while it is unavailable or stale."""

    battery: LevelMissing = "ignore"
    temperature: HeatMissing = "ignore"
    power: LevelMissing = "ignore"
    cpu: LevelMissing = "ignore"
    memory_available: LevelMissing = "ignore"
    memory_pressure: LevelMissing = "ignore"
    power_source: Literal["assume_battery", "assume_external", "ignore"] = "ignore"
    thermal_pressure: HeatMissing = "ignore"


def _not_yet(_: object) -> None:
    raise refuse("not available yet", hint="remove this key; this version of tidegate would not act on it")


def _no_slow_down(value: object) -> object:
    if value == "slow_down":
        hint = "this version can't slow requests down; choose one of the others"
        raise refuse("not available yet", allowed="refuse, cheapest_uncertified", hint=hint)
    return value


NotYet = Annotated[None, BeforeValidator(_not_yet)]
NoFitPart = Annotated[Literal["refuse", "cheapest_uncertified"], BeforeValidator(_no_slow_down)]


class PolicyDocument(_Part):
    """A whole policy document."""

    tidegate: Literal[1] = Field(description="the version of the policy language: `tidegate: 1`")
    name: Name
    version: int = Field(ge=1, lt=1 << 53, description="a whole number, higher with every change")
    max_accuracy_loss: Share = Field(description="the ceiling over all rules, for example `1.5 %`")
    default: DefaultPart = DefaultPart()
    rules: list[RulePart] = []
    dwell: DwellPart = DwellPart()
    on_missing: OnMissingPart = OnMissingPart()
    no_fit: NoFitPart = "refuse"
    goals: NotYet = None
    schedule: NotYet = None

    @model_validator(mode="after")
    def _unique(self) -> Self:
        seen: dict[str, int] = {}
        for index, rule in enumerate(self.rules):
            if rule.name in seen:
                message = f"rules[{seen[rule.name]}] has this name already"
                raise refuse(message, hint="decisions name their rule", at=("rules", index, "name"))
            seen[rule.name] = index
        return self

    @model_validator(mode="after")
    def _below_ceiling(self) -> Self:
        uses: list[tuple[tuple[str | int, ...], Any]] = [(("default", "use"), self.default.use)]
        uses += [(("rules", index, "use"), rule.use) for index, rule in enumerate(self.rules)]
        for path, use in uses:
            loss = use.max_accuracy_loss if isinstance(use, BoundsPart) else None
            if loss is not None and loss > self.max_accuracy_loss:
                ceiling = f"at most the policy's own max_accuracy_loss, {self.max_accuracy_loss * 100:g} %"
                raise refuse("above the ceiling", allowed=ceiling, at=(*path, "max_accuracy_loss"))
        return self

    def policy(self) -> data.Policy:
        """The frozen policy."""
        return data.Policy(
            name=self.name,
            version=self.version,
            max_accuracy_loss=self.max_accuracy_loss,
            rules=tuple(rule.rule(f"rules[{index}]") for index, rule in enumerate(self.rules)),
            default=_use(self.default.use),
            dwell=data.Dwell(self.dwell.down, self.dwell.up),
            on_missing={name: data.Assumption(word) for name, word in self.on_missing.model_dump().items()},
            no_fit=data.NoFit(self.no_fit),
        )
