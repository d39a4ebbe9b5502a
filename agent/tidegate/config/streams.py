"""Streams: frames that the worker reads by itself, and where their answers go."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tidegate.config.part import Part
from tidegate.config.values import FilePath, TopicLevel
from tidegate.documents import refuse
from tidegate.quantities.units import Share

_MAX_TOPIC = 1024  # bytes


def _topic_filter(value: str) -> str:
    levels = value.split("/")
    if any(char in value for char in "\0\n") or len(value.encode()) > _MAX_TOPIC:
        raise refuse("not a topic", allowed=f"at most {_MAX_TOPIC} bytes, in one line")
    for index, level in enumerate(levels):
        stray = ("#" in level and (level != "#" or index < len(levels) - 1)) or ("+" in level and level != "+")
        if stray:
            allowed = "`+` as a whole level, such as cameras/+/door, and `#` as the last one, such as cameras/#"
            raise refuse("a wildcard that no broker takes", allowed=allowed)
    return value


def _topic(value: str) -> str:
    if "#" in value or "+" in value:
        raise refuse("a wildcard in a topic to publish to", allowed="a topic without + and #")
    return _topic_filter(value)


TopicFilter = Annotated[str, AfterValidator(_topic_filter)]
Topic = Annotated[str, AfterValidator(_topic)]


class StreamSource(Part):
    """Where frames come from: new pictures in a folder, a camera or video file, a named pipe, or an MQTT topic."""

    folder: FilePath | None = None
    camera: str | None = Field(
        None, min_length=1, description="a device such as `/dev/video0`, an `rtsp://` address, or a video file"
    )
    lines: FilePath | None = None
    mqtt: TopicFilter | None = Field(None, min_length=1, description="a topic, wildcards allowed")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.folder, self.camera, self.lines, self.mqtt)) != 1:
            hint = "for example {camera: /dev/video0}"
            raise refuse("a stream has one source", allowed="folder, camera, lines or mqtt", hint=hint)
        return self


class StreamSink(Part):
    """Where answers go: JSON lines into a file or a named pipe that is there, or to an MQTT topic.

    They hold the best class, or all outputs.
    """

    lines: FilePath | None = None
    mqtt: Topic | None = Field(None, min_length=1, description="a topic, without wildcards")
    outputs: Literal["best", "all"] = "best"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.lines is None) == (self.mqtt is None):
            hint = "for example {lines: answers.jsonl}"
            raise refuse("a stream's answers go to one place", allowed="lines or mqtt", hint=hint)
        return self


class Stream(Part):
    """Frames that the worker reads. `motion` leaves out what doesn't move, `queue` is how many wait at most.

    `model` names one of `models` to answer them, in the place of the main one.
    """

    name: TopicLevel
    source: StreamSource = Field(alias="from")
    to: StreamSink
    frames_per_second: float = Field(5.0, gt=0, le=240)
    motion: Share | None = None
    queue: int = Field(2, ge=1, le=64)
    model: TopicLevel | None = None

    @model_validator(mode="after")
    def _something_moves(self) -> Self:
        if self.motion is not None and self.motion >= 1:
            hint = "2 to 8 % suit most cameras"
            raise refuse("nothing moves by more", allowed="less than 100 %", hint=hint, at=("motion",))
        return self


def named_apart(streams: tuple[Stream, ...]) -> tuple[Stream, ...]:
    names = [each.name for each in streams]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refuse(f"two streams are called {name}", allowed="a name each", at=(index, "name"))
    pipes: dict[Path, str] = {}
    for index, each in enumerate(streams):
        pipe = each.source.lines
        if pipe is not None and pipe in pipes:
            said = f"{pipes[pipe]} reads this pipe already, and each line reaches only one of them"
            raise refuse(said, allowed="a pipe each", at=(index, "from", "lines"))
        if pipe is not None:
            pipes[pipe] = each.name
    for index, each in enumerate(streams):
        if each.to.lines is not None and each.to.lines in pipes:
            said = f"{pipes[each.to.lines]} would read these answers as frames"
            raise refuse(said, allowed="another path than that of a `from`", at=(index, "to", "lines"))
        for other in streams:
            if (
                each.to.mqtt is not None
                and other.source.mqtt is not None
                and _takes(other.source.mqtt, each.to.mqtt)
            ):
                said = f"{other.name} would read these answers as frames, since it takes {other.source.mqtt}"
                raise refuse(said, allowed="a topic that no `from` takes", at=(index, "to", "mqtt"))
    return streams


def _takes(topic_filter: str, topic: str) -> bool:
    """Whether a broker sends messages of this topic to who subscribed to the filter (MQTT 5, 4.7)."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted, levels = wanted[:-1], levels[: len(wanted) - 1]
    return len(wanted) == len(levels) and all(w in {"+", have} for w, have in zip(wanted, levels, strict=True))
