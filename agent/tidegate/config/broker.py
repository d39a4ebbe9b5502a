"""The MQTT broker, what is told over it, and what is kept and taken."""

from typing import Self

from pydantic import Field, model_validator

from tidegate.config.part import Part
from tidegate.config.values import FilePath, Host
from tidegate.documents import refuse
from tidegate.quantities.units import Duration, Memory


class Tls(Part):
    """TLS to the broker; without `ca` the system's authorities are trusted."""

    ca: FilePath | None = None


class Broker(Part):
    """The MQTT 5 broker. The password is in a file of its own, so that this one can be shown around.

    `data_per_day` is what may be sent to it in any 24 hours, in bytes; telemetry waits and gets coarser meanwhile.
    """

    host: Host = Field(min_length=1)
    port: int = Field(1883, ge=1, le=65535)
    username: str | None = None
    password_file: FilePath | None = None
    tls: Tls | None = None
    data_per_day: Memory | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.data_per_day is not None and self.data_per_day < 100_000:
            hint = "what a device says of itself takes tens of kilobytes a day without any telemetry"
            raise refuse("too little data", allowed="100 kB or more", hint=hint, at=("data_per_day",))
        if self.password_file is not None and self.username is None:
            raise refuse("a password without a user name", hint="add `username`", at=("password_file",))
        return self


class Telemetry(Part):
    """One window of readings and serving figures is one message; `window` in seconds."""

    window: Duration = 10.0

    @model_validator(mode="after")
    def _not_endless(self) -> Self:
        if self.window < 0.1:
            raise refuse("the window is too short", allowed="100 ms or more", at=("window",))
        return self


class Spool(Part):
    """What is kept for the broker while it is away: bytes and seconds; telemetry is merged before it is dropped.

    Below 1 MiB the log of SQLite (up to 1 MiB beside `max_size`) would take more than the rows.
    """

    max_size: Memory = float(64 << 20)
    max_age: Duration = 7 * 86400.0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.max_size < 1 << 20:
            hint = "shorten max_age to keep less"
            raise refuse("the spool is too small", allowed="1 MiB or more", hint=hint, at=("max_size",))
        return self


class PushedBundles(Part):
    """Bundles that are pushed over MQTT: how large one may be, in bytes. Two of them are kept."""

    max_size: Memory = float(512 << 20)


class Inputs(Part):
    """Numbers that outside sources publish: how long one holds that says nothing of it itself, in seconds."""

    max_age: Duration = 60.0

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.max_age < 1.0:
            raise refuse("the time is too short", allowed="1 s or more", at=("max_age",))
        return self
