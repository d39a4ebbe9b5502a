"""Times of day, schedules and time zones in a policy document."""

import difflib
import re
from datetime import time
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from tidegate.documents import refuse
from tidegate.policy import policy as data
from tidegate.policy.schema.part import Name, Part

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS = get_args(Day)


def _time_of_day(value: object) -> time:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", value, re.ASCII) if isinstance(value, str) else None
    if match is None:
        raise refuse("expected a time of day", allowed='"00:00" to "23:59"', hint='for example "06:30"')
    return time(int(match[1]), int(match[2]))


TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["06:30"]}),
]


_SPAN = re.compile(r"\s*(\d?\d:\d\d)\s*(?:-|\u2013|to|\.\.)\s*(\d?\d:\d\d)\s*", re.ASCII)


def _not_a_span(value: object) -> object:
    span = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if span is not None:
        allowed, start, end = "a list of two times of day", span[1].zfill(5), span[2].zfill(5)
        raise refuse("expected two times of day", allowed=allowed, hint=f'write `["{start}", "{end}"]`')
    return value


def _two_times(times: list[time]) -> list[time]:
    if len(times) != 2 or times[0] == times[1]:
        raise refuse("expected two different times of day", allowed='a list such as ["22:00", "06:00"]')
    return times


TwoTimes = Annotated[list[TimeOfDay], AfterValidator(_two_times), BeforeValidator(_not_a_span)]


def _window_branch(value: object) -> str:
    # Nobody calls a schedule `22:00-06:00`.
    return "<schedule>" if isinstance(value, str) and not _SPAN.fullmatch(value) else "<times>"


WindowPart = Annotated[
    Annotated[Name, Tag("<schedule>")] | Annotated[TwoTimes, Tag("<times>")],
    Discriminator(_window_branch),
    Field(description='two times of day such as ["22:00", "06:00"], or the name of an entry of `schedule`'),
]


def window(part: str | list[time], path: str, schedules: dict[str, data.Between]) -> data.Window:
    """The window that a name or two times mean; the document's validator has looked names up before."""
    if isinstance(part, str):
        return data.Window(path, schedules[part], part)
    return data.Window(path, data.Between(part[0], part[1]))


class SchedulePart(Part):
    """`{name: working hours, between: ["08:00", "18:00"], days: [mon, tue, wed, thu, fri]}`."""

    name: Name
    between: TwoTimes | None = None
    days: Annotated[list[Day], Field(min_length=1)] | None = Field(
        None, description="the days on which it begins, for example [sat, sun]"
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.between is None and self.days is None:
            raise refuse("a schedule needs `between`, `days` or both", hint="without either it would always hold")
        return self

    def window(self) -> data.Between:
        """The times it stands for."""
        days = None if self.days is None else frozenset(_DAYS.index(day) for day in self.days)
        start, end = (time(), time()) if self.between is None else (self.between[0], self.between[1])
        return data.Between(start, end, days)


def _time_zone(value: object) -> ZoneInfo:
    hint = "leave the key out for the device's own time zone"
    if not isinstance(value, str) or not value:
        raise refuse("expected the name of a time zone", allowed="a name such as Europe/Berlin", hint=hint)
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = next(iter(difflib.get_close_matches(value[:60], available_timezones(), 1)), "")
        said = "no such time zone on this system"
        raise refuse(said, allowed="a name such as Europe/Berlin", nearest=near, hint=hint) from None


TimeZone = Annotated[
    ZoneInfo,
    BeforeValidator(_time_zone),
    WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]}),
]
