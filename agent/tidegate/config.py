"""agent.yaml: who this device is, what it runs, where it listens and whom it tells."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from platformdirs import user_state_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from tidegate.boards import Profile, find_profile, ready_profiles
from tidegate.documents import WHOLE, Document, DocumentError, Mark, Problem, parse, read, refuse, validate
from tidegate.quantities.units import Duration, Memory
from tidegate.trust.keys import KeyFormatError, parse_public
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys
from tidegate_drivers.meters import address

DEFAULT_CONFIG = Path("/etc/tidegate/agent.yaml")
_BASE = "base"
_MAX_SOCKET_PATH = 103  # bytes; sun_path holds 104 on macOS and 108 on Linux, the last being NUL


def load_config(path: Path) -> "AgentConfig":
    """The configuration in a file, paths made absolute against it. Raises DocumentError when it is not valid."""
    if path == DEFAULT_CONFIG and not path.exists():
        hint = "name the agent's with --config FILE; `tidegate config check` takes FILE alone"
        problem = Problem(WHOLE, "", "there is no configuration in the default place", hint=hint)
        raise DocumentError(str(path), "", [problem])
    return config_in(read(path), path)


def config_in(text: str, path: Path) -> "AgentConfig":
    """The configuration in the text of a file at `path`. Raises DocumentError when it is not valid."""
    document = parse(text, str(path))
    config = validate(document, AgentConfig, {_BASE: path.resolve().parent})
    config._document = document  # noqa: SLF001 - its own module
    return config


def state_dir_in(path: Path) -> Path | None:
    """The state directory that a file names, whatever else is wrong in it; None where it can't be told."""
    try:
        value = parse(read(path), str(path)).value
    except DocumentError:
        return None
    if not isinstance(value, dict):
        return None
    named = value.get("state_dir")
    if named is None:
        return user_state_path("tidegate")
    if not isinstance(named, str) or "\0" in named:
        return None
    return Path(os.path.normpath(path.resolve().parent / named))


def board_profile(config: "AgentConfig") -> Profile | None:
    """The profile that `board` names; None without one. Raises DocumentError that says where it is named."""
    if config.board is None:
        return None
    try:
        return find_profile(config.board)
    except DocumentError as error:
        document = config._document  # noqa: SLF001 - its own module
        if document is None:
            raise
        first = error.problems[0]
        said = f"{first.path}: {first.message}" if first.path else first.message
        where = f"{first.mark.within(error.name)}: {said}"
        more = "" if len(error.problems) == 1 else f" and {len(error.problems) - 1} more"
        mark = document.marks.get(("board",), Mark(1, 1))
        found = document.sources.get(("board",), config.board)
        allowed = f"a path to a valid board profile, or one of {', '.join(ready_profiles())}"
        problem = Problem(
            mark, "board", "the board's profile can't be used", found, allowed, first.nearest, f"{where}{more}"
        )
        raise DocumentError(document.name, document.text, [problem]) from None


def _absolute(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise refuse("expected a path", allowed="a path, absolute or relative to this file")
    base = (info.context or {}).get(_BASE, Path())
    path = Path(value)
    try:
        path = path.expanduser()
    except RuntimeError:
        raise refuse("no such user, or one without a home directory", hint="write the path out") from None
    return Path(os.path.normpath(base / path))


def _topic_level(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        allowed = "1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"
        raise refuse("not usable in an MQTT topic", allowed=allowed)
    return value


def _fits_sun_path(path: Path) -> Path:
    length = len(os.fsencode(path))
    if length > _MAX_SOCKET_PATH:
        allowed = f"at most {_MAX_SOCKET_PATH} bytes as an absolute path, this is {length}"
        raise refuse("too long for a Unix socket", allowed=allowed, hint="use a directory nearer to the root")
    return path


FilePath = Annotated[Path, BeforeValidator(_absolute)]
SocketPath = Annotated[FilePath, AfterValidator(_fits_sun_path)]
TopicLevel = Annotated[str, AfterValidator(_topic_level)]


def _board(value: object, info: ValidationInfo) -> str:
    """A ready profile's name as it is; a path to a profile made absolute, which is read where it is needed."""
    if isinstance(value, str) and value.endswith(".yaml"):
        return str(_absolute(value, info))
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", value):
        known = ", ".join(ready_profiles())
        raise refuse("expected a board", allowed=f"{known}, or a path that ends in .yaml")
    try:
        find_profile(value)
    except DocumentError as error:
        first = error.problems[0]
        raise refuse(first.message, allowed=first.allowed, nearest=first.nearest, hint=first.hint) from None
    return value


BoardName = Annotated[str, BeforeValidator(_board)]


def _meter(value: str) -> str:
    try:
        address.parse(value)
    except ValueError as error:
        hint = "for example file:/run/meter.json#power_w, mqtt://broker/plug#apower or hwmon://ina219/power1"
        raise refuse(str(error), allowed=address.ALLOWED, hint=hint) from None
    return value


MeterAddress = Annotated[str, AfterValidator(_meter)]
ControlName = Literal["cpu_governor", "cpu_max_frequency", "platform_profile"]


class _Part(BaseModel):
    # Deferred: most models are parts of another, and their own validators are never asked for.
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True, frozen=True)


class Listen(_Part):
    """Where the inference endpoint listens; TCP is on 127.0.0.1 only, port 0 takes a free one."""

    unix: SocketPath | None = None
    tcp: int | None = Field(None, ge=0, le=65535)

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.unix is None and self.tcp is None:
            raise refuse(
                "no address to listen on",
                allowed="unix, tcp or both",
                hint="for example {unix: tidegate.sock, tcp: 8700}",
            )
        return self


class Tls(_Part):
    """TLS to the broker; without `ca` the system's authorities are trusted."""

    ca: FilePath | None = None


class Broker(_Part):
    """The MQTT 5 broker. The password is in a file of its own, so that this one can be shown around."""

    host: str = Field(min_length=1)
    port: int = Field(1883, ge=1, le=65535)
    username: str | None = None
    password_file: FilePath | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.password_file is not None and self.username is None:
            raise refuse("a password without a user name", hint="add `username`", at=("password_file",))
        return self


class Telemetry(_Part):
    """One window of readings and serving figures is one message; `window` in seconds."""

    window: Duration = 10.0

    @model_validator(mode="after")
    def _not_endless(self) -> Self:
        if self.window < 0.1:
            raise refuse("the window is too short", allowed="100 ms or more", at=("window",))
        return self


class Spool(_Part):
    """What is kept for the broker while it is away: bytes and seconds, the oldest dropped first.

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


class Inputs(_Part):
    """Numbers that outside sources publish: how long one holds that says nothing of it itself, in seconds."""

    max_age: Duration = 60.0

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.max_age < 1.0:
            raise refuse("the time is too short", allowed="1 s or more", at=("max_age",))
        return self


class Replay(_Part):
    """A recorded or scripted day in place of sensors, played in `span` seconds of real time (None: its own pace).

    `fill_missing` takes from the trace only the readings that this machine lacks; otherwise it gives all.
    """

    trace: FilePath
    span: Duration | None = None
    fill_missing: bool = False


class Worker(_Part):
    """The process that owns the model: what runs it, and `memory_limit` in bytes of resident memory.

    Weights of points that were left stay in memory up to `keep_resident` bytes, unless memory is short. With
    `spin` the threads of an answer wait for each other awake.
    """

    engine: Literal["auto", "onnx", "litert", "eager"] = "auto"
    memory_limit: Memory | None = None
    keep_resident: Memory = float(32 << 20)
    spin: bool = False


def _public_key(value: str) -> str:
    try:
        return parse_public(value).text
    except KeyFormatError:
        allowed = "an Ed25519 public key in one line, as `tidegate key show FILE.pub` prints it"
        raise refuse("not a public key", allowed=allowed) from None


RoleName = Literal["policy", "bundle", "key_rotation"]


class KeyEntry(_Part):
    """A key whose signatures count, and for what."""

    name: TopicLevel = Field(description="what this device calls the key, for example `alice`")
    key: Annotated[str, AfterValidator(_public_key)] = Field(
        description="the public key in one line, as `tidegate key show FILE.pub` prints it"
    )
    roles: tuple[RoleName, ...] = Field(("policy",), strict=False, min_length=1)


class TrustedKeysPart(_Part):
    """The keys whose signatures count, and how many of them have to sign: one where no threshold is named."""

    trusted_keys: tuple[KeyEntry, ...] = Field((), strict=False)
    signature_thresholds: dict[RoleName, int] = {}

    @model_validator(mode="after")
    def _keys_can_sign(self) -> Self:
        problem = trusted_keys(self).problem()
        if problem is not None:
            at = (
                {"keys": "trusted_keys", "thresholds": "signature_thresholds"}[str(problem.at[0])],
                *problem.at[1:],
            )
            raise refuse(problem.said, allowed=problem.allowed, at=at)
        return self


class KeysFile(TrustedKeysPart):
    """The keys to trust from now on, as `key rotate` takes them, with a version that only grows."""

    version: int = Field(
        ge=1, le=(1 << 53) - 1, description="a whole number above that of the last rotation, from 1"
    )


class AgentConfig(TrustedKeysPart):
    """The whole of agent.yaml; all paths are absolute."""

    device: TopicLevel = Field(description="the device's name in MQTT topics, for example `gate-7`")
    bundle: FilePath = Field(description="the model's bundle, a path relative to this file")
    policy: FilePath = Field(description="the local policy, a path relative to this file")
    board: BoardName | None = None
    state_dir: FilePath = Field(default_factory=lambda: user_state_path("tidegate"))
    listen: Listen = Field(description="where to answer requests, for example {unix: tidegate.sock, tcp: 8700}")
    broker: Broker | None = None
    allow_unsigned: bool = False
    groups: tuple[TopicLevel, ...] = Field((), strict=False)
    telemetry: Telemetry = Telemetry()
    spool: Spool = Spool()
    inputs: Inputs = Inputs()
    meter: MeterAddress | None = None
    controls: tuple[ControlName, ...] = Field((), strict=False)
    replay: Replay | None = None
    worker: Worker = Worker()
    _document: Document | None = PrivateAttr(None)


def trusted_keys(config: TrustedKeysPart) -> TrustedKeys:
    """The keys of a file, as they judge envelopes."""
    keys = tuple(
        TrustedKey(entry.name, parse_public(entry.key), frozenset(map(Role, entry.roles)))
        for entry in config.trusted_keys
    )
    return TrustedKeys(keys, {Role(role): needed for role, needed in config.signature_thresholds.items()})
