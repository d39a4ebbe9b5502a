"""agent.yaml: who this device is, what it runs, where it listens and whom it tells."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from tidegate.config.broker import Broker, Inputs, PushedBundles, Spool, Telemetry
from tidegate.config.doors import Frigate, Listen, Web
from tidegate.config.footage import Footage
from tidegate.config.keys import TrustedKeysPart
from tidegate.config.models import MOST, EngineName, Model, models_named_apart
from tidegate.config.part import Part
from tidegate.config.streams import Stream, named_apart
from tidegate.config.values import BoardName, ControlName, FilePath, MeterAddress, SuspendBy, TopicLevel
from tidegate.documents import Document, Kind, refuse
from tidegate.paths import user_directory
from tidegate.quantities.units import Duration, Memory


class Replay(Part):
    """A recorded or scripted day in place of sensors, played in `span` seconds of real time (None: its own pace).

    `fill_missing` takes from the trace only the readings that this machine lacks; otherwise it gives all.
    """

    trace: FilePath
    span: Duration | None = None
    fill_missing: bool = False


class Worker(Part):
    """The process that owns the models: what runs them, and `memory_limit` in bytes of resident memory for all.

    Weights of points that were left stay in memory up to `keep_resident` bytes, unless memory is short. With
    `spin` the threads of an answer wait for each other awake.
    """

    engine: EngineName = "auto"
    memory_limit: Memory | None = None
    keep_resident: Memory = float(32 << 20)
    spin: bool = False


class AgentConfig(TrustedKeysPart):
    """The whole of agent.yaml; all paths are absolute."""

    KIND: ClassVar = Kind.AGENT

    device: TopicLevel = Field(description="the device's name in MQTT topics, for example `gate-7`")
    bundle: FilePath = Field(description="the model's bundle, a path relative to this file")
    models: Annotated[tuple[Model, ...], AfterValidator(models_named_apart)] = Field(
        (), strict=False, max_length=MOST, description="models beside the main one, which `bundle` names"
    )
    certificate: FilePath | None = Field(
        None, description="a signed count on inputs of this place, which replaces the bundle's certificates"
    )
    policy: FilePath = Field(description="the local policy, a path relative to this file")
    board: BoardName | None = None
    state_dir: FilePath = Field(default_factory=lambda: user_directory("state"))
    listen: Listen = Field(description="where to answer requests, for example {unix: tidegate.sock, tcp: 8700}")
    broker: Broker | None = None
    allow_unsigned: bool = False
    groups: tuple[TopicLevel, ...] = Field((), strict=False)
    telemetry: Telemetry = Telemetry()
    spool: Spool = Spool()
    inputs: Inputs = Inputs()
    pushed_bundles: PushedBundles = PushedBundles()
    meter: MeterAddress | None = None
    controls: tuple[ControlName, ...] = Field((), strict=False)
    suspend: SuspendBy | None = Field(None, description="`systemd`, `pmset`, or the absolute path of a hook")
    replay: Replay | None = None
    web: Web | None = None
    frigate: Frigate | None = None
    streams: Annotated[tuple[Stream, ...], AfterValidator(named_apart)] = Field((), strict=False, max_length=16)
    footage: Footage | None = Field(None, description="keep frames of what is answered: off without this section")
    home_assistant: bool = False
    remote_hold: bool = False
    worker: Worker = Worker()
    _document: Document | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _listens_once(self) -> Self:
        taken: dict[Path | int, str] = {}
        for name, part in (("listen", self.listen), ("web", self.web), ("frigate", self.frigate)):
            for kind in ("unix", "tcp"):
                address = None if part is None else getattr(part, kind)
                if not address:  # None, or port 0: a free one
                    continue
                if address in taken:
                    raise refuse(
                        f"{taken[address]} listens there already", allowed="an address each", at=(name, kind)
                    )
                taken[address] = f"{name}.{kind}"
        return self

    @model_validator(mode="after")
    def _streams_have_their_broker(self) -> Self:
        for index, each in enumerate(self.streams):
            for place, topic in (("from", each.source.mqtt), ("to", each.to.mqtt)):
                if topic is not None and self.broker is None:
                    hint = "add `broker: {host: ...}`"
                    raise refuse("there is no broker", hint=hint, at=("streams", index, place, "mqtt"))
        return self

    @model_validator(mode="after")
    def _models_are_there(self) -> Self:
        names = [each.name for each in self.models]
        allowed = f"{', '.join(names)}; without the key the bundle's own model answers" if names else "no such key"
        for index, stream in enumerate(self.streams):
            if stream.model is not None and stream.model not in names:
                hint = "" if names else "add it under `models`, or leave the key out"
                raise refuse("no such model", allowed=allowed, hint=hint, at=("streams", index, "model"))
        if self.frigate is not None and self.frigate.model is not None and self.frigate.model not in names:
            raise refuse("no such model", allowed=allowed, at=("frigate", "model"))
        return self
