"""Conditions in a policy document: `when`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from tidegate.documents import refuse
from tidegate.documents.problem import shown
from tidegate.policy import policy as data
from tidegate.policy.readings import INPUT, INPUT_NAME
from tidegate.policy.schema.part import Part
from tidegate.policy.schema.times import WindowPart, window
from tidegate.quantities.units import Duration, Latency, Memory, Percent, Power, Rate, Temperature
from tidegate_drivers.reading import THERMAL_PRESSURES

Number = TypeVar("Number")
Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What names in conditions stand for: schedules of the document, and zone types by the board's role names."""

    schedules: dict[str, data.Between] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)


_COMPARISON = re.compile(
    r"\s*(?:(?P<reading>[A-Za-z_]\w*)\s*)?(?:is\s+(?=above|over|below|under))?(?P<sign>>=?|<=?|above|over|below|under|==?|is)\s*(?P<value>\S.*)",
    re.ASCII,
)
_SIDES = {">": "above", ">=": "above", "above": "above", "over": "above"}


def _as_written(text: str) -> str:
    """What to write for `temperature > 80 C` or, behind a reading, for `> 80 C`; empty for any other text."""
    found = _COMPARISON.fullmatch(text[:80])
    if found is None:
        return ""
    value, sign = shown(found["value"].strip()), found["sign"]
    side = _SIDES.get(sign, "below")
    part = value if sign in {"=", "==", "is"} else f"{{{side}: {value}, until: ...}}"
    if found["reading"] is None:
        return f"write `{part}`"
    reading = OTHER_READINGS.get(found["reading"].lower(), found["reading"])
    return f"write `{{{reading}: {part}}}`"


OTHER_READINGS: Mapping[str, str] = {
    **dict.fromkeys(
        ("cpu_temp", "cpu_temperature", "soc_temp", "temp", "board_temp", "celsius", "heat"), "temperature"
    ),
    **dict.fromkeys(("battery_level", "battery_percent", "charge", "soc", "battery_soc"), "battery"),
    **dict.fromkeys(("cpu_usage", "cpu_load", "cpu_percent", "load", "load_average"), "cpu"),
    **dict.fromkeys(("memory", "mem", "ram", "memory_free", "free_memory"), "memory_available"),
    **dict.fromkeys(("watts", "power_w", "power_draw", "consumption"), "power"),
    **dict.fromkeys(("fps", "rps", "qps", "requests", "load_hz", "request_hz"), "request_rate"),
    **dict.fromkeys(("latency_ms", "latency_p95", "p95", "response_time"), "latency"),
    **dict.fromkeys(("throttling", "is_throttled"), "throttled"),
    **dict.fromkeys(("undervoltage", "low_voltage"), "under_voltage"),
    **dict.fromkeys(("supply", "power_supply", "source"), "power_source"),
    **dict.fromkeys(("and", "all_of"), "all"),
    **dict.fromkeys(("or", "any_of"), "any"),
    **dict.fromkeys(("between", "hours"), "time"),
}
"""What other tools, or people, call the keys of a condition."""

_LINES: Mapping[str, str] = {
    **dict.fromkeys(("charging", "plugged", "plugged_in", "on_ac", "mains", "ac"), "power_source: external"),
    **dict.fromkeys(("discharging", "on_battery", "unplugged"), "power_source: battery"),
}


class ThresholdPart(Part, Generic[Number]):
    """`{above: 80 C, until: 72 C, for: 10 s}`."""

    OTHER_WORDS: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("over", "more_than", "greater_than", "gt", "min"), "write `above`"),
        **dict.fromkeys(("under", "less_than", "lt", "max"), "write `below`"),
        **dict.fromkeys(
            ("hysteresis", "leave", "off", "release"), "write `until`, with the value at which it ends"
        ),
        **dict.fromkeys(("duration", "for_s", "hold"), "write `for`, with a time such as `10 s`"),
    }

    @model_validator(mode="before")
    @classmethod
    def _not_a_text(cls, value: object) -> object:
        if isinstance(value, str | int | float):
            allowed = "{above: ..., until: ...}, {below: ..., until: ...}"
            hint = _as_written(str(value)) or f"for example {{below: {shown(str(value))}, until: ...}}"
            raise refuse("expected a mapping", allowed=allowed, hint=hint)
        return value

    above: Number | None = None
    below: Number | None = None
    until: Number = Field(
        description="`until` is the leave value: once true, the condition holds until it is reached"
    )
    for_: Duration = Field(0.0, alias="for", description="how long the enter value must be passed first")

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

    def condition(self, path: str, reading: str, _names: Names) -> data.Threshold:
        """The condition on the reading that the key stands for."""
        side = data.Side.ABOVE if self.above is not None else data.Side.BELOW
        return data.Threshold(path, reading, side, self._enter(), self._leave(), self.for_)


def _one_level(name: str) -> str:
    if "/" in name or not name.isprintable():
        raise refuse("not a name", allowed="a word without `/`")
    return name


def _input_name(name: str) -> str:
    if INPUT_NAME.fullmatch(name) is None:
        allowed = "1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"
        raise refuse("not a valid name of an input", allowed=allowed)
    return name


InputName = Annotated[str, AfterValidator(_input_name)]
Word = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_one_level)]


class TemperaturePart(ThresholdPart[Temperature]):
    """A threshold on the hottest zone, or on `zone`: a role in the board's profile or a zone's type."""

    zone: Word | None = None

    def condition(self, path: str, reading: str, names: Names) -> data.Threshold:
        """The condition on the zone's reading."""
        zone = "" if self.zone is None else f"/{names.zones.get(self.zone, self.zone)}"
        return super().condition(path, reading + zone, names)


class InputPart(ThresholdPart[float]):
    """A threshold on a number that an outside source sends: `{name: people, above: 3, until: 1}`."""

    name: InputName

    def condition(self, path: str, _reading: str, names: Names) -> data.Threshold:
        """The condition on the named input."""
        return super().condition(path, f"{INPUT}/{self.name}", names)


class LevelPart(Part):
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

    def condition(self, path: str, reading: str, _names: Names) -> data.Level:
        """The condition on the reading that the key stands for."""
        scale = THERMAL_PRESSURES
        leave = self.until or scale[scale.index(self.at_least) - 1]
        return data.Level(path, reading, scale, self.at_least, leave)


class ConditionPart(Part):
    """One condition: a single key, either a reading or `any`, `all`, `not`."""

    OTHER_WORDS: ClassVar[Mapping[str, str]] = {
        **{word: f"write `{reading}`" for word, reading in OTHER_READINGS.items()},
        **{word: f"write `{line}`" for word, line in _LINES.items()},
    }

    any_of: Annotated[list["ConditionPart"], Field(min_length=1)] | None = Field(None, alias="any")
    all_of: Annotated[list["ConditionPart"], Field(min_length=1)] | None = Field(None, alias="all")
    negated: "ConditionPart | None" = Field(None, alias="not")
    time: WindowPart | None = None
    battery: ThresholdPart[Percent] | None = None
    temperature: TemperaturePart | None = None
    power: ThresholdPart[Power] | None = None
    cpu: ThresholdPart[Percent] | None = None
    memory_available: ThresholdPart[Memory] | None = None
    memory_pressure: ThresholdPart[Percent] | None = None
    request_rate: ThresholdPart[Rate] | None = None
    latency: ThresholdPart[Latency] | None = None
    input: InputPart | None = None
    power_source: Literal["battery", "external"] | None = Field(
        None, description="`external` is any supply but the battery: mains, USB, a panel"
    )
    throttled: Literal["no", "yes"] | None = None
    under_voltage: Literal["no", "yes"] | None = None
    thermal_pressure: LevelPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_a_text(cls, value: object) -> object:
        if isinstance(value, str):
            allowed = "{reading: {above: ..., until: ...}}, {power_source: battery}"
            raise refuse("expected a mapping", allowed=allowed, hint=_as_written(value))
        if isinstance(value, list):
            hint = "write `{all: [...]}` where all of them must hold, `{any: [...]}` where one must"
            raise refuse("expected one condition", allowed="a mapping with one key", hint=hint)
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            hint = "put several conditions in a list behind `any` or `all`"
            raise refuse(f"a condition has one key, found {len(self.model_fields_set)}", hint=hint)
        return self

    def condition(self, path: str, names: Names) -> data.Condition:
        """The condition as data; `path` is where it stands in the document."""
        if self.any_of is not None:
            return data.AnyOf(tuple(_conditions(self.any_of, f"{path}.any", names)))
        if self.all_of is not None:
            return data.AllOf(tuple(_conditions(self.all_of, f"{path}.all", names)))
        if self.negated is not None:
            return data.Not(self.negated.condition(f"{path}.not", names))
        if self.time is not None:
            return window(self.time, f"{path}.time", names.schedules)
        (reading,) = self.model_fields_set
        part: str | LevelPart | ThresholdPart[float] = getattr(self, reading)
        here = f"{path}.{reading}"
        return data.Equals(here, reading, part) if isinstance(part, str) else part.condition(here, reading, names)

    def schedules_named(self) -> Iterator[tuple[Location, str]]:
        """The schedules it refers to, each with the way from here to the reference."""
        for key, parts in (("any", self.any_of), ("all", self.all_of)):
            for index, part in enumerate(parts or ()):
                yield from (((key, index, *location), name) for location, name in part.schedules_named())
        if self.negated is not None:
            yield from ((("not", *location), name) for location, name in self.negated.schedules_named())
        if isinstance(self.time, str):
            yield ("time",), self.time


def _conditions(parts: list[ConditionPart], path: str, names: Names) -> Iterator[data.Condition]:
    return (part.condition(f"{path}[{index}]", names) for index, part in enumerate(parts))
