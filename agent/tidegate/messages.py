"""What the supervisor and the worker say to each other: the only thing the two processes share.

One JSON object a line over a socket pair. Every message is a frozen dataclass whose `kind` names it; an `id`
ties an answer to its question. Both sides read with LINE_LIMIT_BYTES; a longer line is dropped, the channel stays.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from tidegate.shortened import shortened

log = logging.getLogger(__name__)

LINE_LIMIT_BYTES = 1 << 20
"""A ladder of 1,000 points, each refused with a reason of the full length, fits."""
REASON_LIMIT = 1000
"""Characters of a reason: it goes into replies, events and onto screens."""
REFUSED_LIMIT = 100
"""Characters of why one of a further model's points is refused."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Supervisor asks: prepare this operating point, verify it on the canaries, switch between two requests.

    `model` names one of the further models, None the main one.
    """

    id: int
    point: str
    model: str | None = None
    kind: Literal["switch"] = "switch"


@dataclass(frozen=True, slots=True)
class Ping:
    """Supervisor asks whether requests still get answered; goes through the inference queue."""

    id: int
    kind: Literal["ping"] = "ping"


@dataclass(frozen=True, slots=True)
class Report:
    """Supervisor asks what was served since the last report."""

    id: int
    kind: Literal["report"] = "report"


@dataclass(frozen=True, slots=True)
class AdmissionState:
    """Supervisor says whether a certified point satisfies the policy; every reply carries it.

    With `refuse`, requests are answered with 503 and `reason` instead of an uncertified answer. Beyond `rate_hz`
    requests a second or `concurrency` at once they are turned away with 429 and `reason`; None for no limit.
    `shadow_share` of the answers are compared with the full model's.
    """

    fits: bool
    refuse: bool
    reason: str
    rate_hz: float | None = None
    concurrency: int | None = None
    shadow_share: float = 0.0
    kind: Literal["admission"] = "admission"

    @property
    def lets_nothing_in(self) -> bool:
        """Whether every request is refused as things stand."""
        return self.refuse or self.rate_hz == 0 or self.concurrency == 0


@dataclass(frozen=True, slots=True)
class StreamBroker:
    """The MQTT broker of streams, as the agent reaches it."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_ca: str | None = None


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """Frames from one of a `folder`, a `camera`, a pipe of `lines` and a topic; answers into a file or to a topic.

    With `motion` frames are left out in which no cell changed by more than that share of the full scale. `queue`
    frames wait at most.
    """

    name: str
    to_lines: str | None = None
    to_topic: str | None = None
    folder: str | None = None
    camera: str | None = None
    lines: str | None = None
    topic: str | None = None
    frames_per_second: float = 5.0
    motion: float | None = None
    queue: int = 2
    all_outputs: bool = False
    model: str | None = None
    """Which of the further models answers; None for the main one."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The texts of the server's certificates and key in PEM, and of the authorities that sign clients."""

    certificate: str
    key: str = field(repr=False)
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class TcpAccess:
    """What is asked of those who connect over TCP; None where it is not."""

    token: str | None = field(default=None, repr=False)
    tls: ServerTls | None = None


ANYBODY = TcpAccess()


@dataclass(frozen=True, slots=True)
class Serve:
    """Supervisor says, once the worker is ready: take requests from now on, and read these streams."""

    streams: tuple[StreamSpec, ...] = ()
    broker: StreamBroker | None = None
    access: TcpAccess = ANYBODY
    kind: Literal["serve"] = "serve"


@dataclass(frozen=True, slots=True)
class FurtherModelSpec:
    """A model beside the main one: its bundle, the engine, and the operating point that it begins at.

    With `wanted` it is loaded now, with `on_request` by the first request for it, and then it may be evicted for
    another. `used_by` says who needs it, in words: it is neither evicted nor unloaded by clients then. `obstacle`
    is why it is not loaded although it is wanted, empty without one. `sample_shape` is that of one input.
    """

    name: str
    bundle: str
    bundle_sha256: str
    engine: str
    point: str
    sample_shape: tuple[int, ...] = ()
    wanted: bool = True
    on_request: bool = False
    used_by: str = ""
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class SetModels:
    """Supervisor says which models there are beside the main one, and asks to hear when they are loaded."""

    id: int
    models: tuple[FurtherModelSpec, ...] = ()
    kind: Literal["set_models"] = "set_models"


@dataclass(frozen=True, slots=True)
class ForgetFootage:
    """Supervisor says: delete the frames that are kept, and begin anew."""

    kind: Literal["forget_footage"] = "forget_footage"


@dataclass(frozen=True, slots=True)
class Stop:
    """Supervisor says: answer what is in flight, then end."""

    kind: Literal["stop"] = "stop"


@dataclass(frozen=True, slots=True)
class Starting:
    """Worker says what it does on its way to Ready."""

    doing: str
    kind: Literal["starting"] = "starting"


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker says: the engine is up, `point` has answered the canaries as recorded; Serve lets requests in.

    `refused` holds the operating points that the engine can't run, each with the reason; `bundle` is the hash of
    the one that is served.
    """

    pid: int
    point: str
    engine: str
    refused: dict[str, str] = field(default_factory=dict)
    bundle: str = ""
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Tried:
    """Worker says, while it serves: engines were tried, and this holds from now on of what Ready said."""

    engine: str
    refused: dict[str, str] = field(default_factory=dict)
    kind: Literal["tried"] = "tried"


@dataclass(frozen=True, slots=True)
class Unable:
    """Worker says: it can't serve, and ends. With `other_bundle`, as the directory holds another one by now."""

    reason: str
    other_bundle: bool = False
    kind: Literal["unable"] = "unable"


@dataclass(frozen=True, slots=True)
class Switched:
    """Worker answers Switch: it happened, or (`ok` False) it did not and `point` is what goes on serving.

    `canary_agreement` is the share of canaries answered as recorded at calibration, None when none could run. With
    `bundle_changed` the reason is that the files are not those any more that the worker opened.
    """

    id: int
    ok: bool
    point: str
    prepare_ms: float
    switch_ms: float
    canary_agreement: float | None
    reason: str = ""
    bundle_changed: bool = False
    kind: Literal["switched"] = "switched"


class ModelState(StrEnum):
    """What a model does, in the words of Triton's repository index."""

    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class FurtherModelState:
    """What one of the further models does, and why where it doesn't answer.

    `wanted` is False once a client has had it unloaded, `failed` says whether the last try to load it failed. Of
    those that are LOADING one has `begun`, the others wait for it.
    `point`, `engine` and `refused` say of a loaded one what Ready says of the main one; `held_bytes` is what the
    worker's resident memory grew by when it was loaded, None where it isn't.
    """

    name: str
    bundle: str
    state: ModelState
    wanted: bool
    failed: bool = False
    begun: bool = False
    reason: str = ""
    point: str = ""
    engine: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    held_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelStates:
    """Worker says, whenever one of them changes: what the further models do, all of them."""

    models: tuple[FurtherModelState, ...]
    kind: Literal["model_states"] = "model_states"


@dataclass(frozen=True, slots=True)
class ModelsSet:
    """Worker answers SetModels once none is being loaded; `failed` are those that can't be, with the reason."""

    id: int
    failed: dict[str, str] = field(default_factory=dict)
    kind: Literal["models_set"] = "models_set"


@dataclass(frozen=True, slots=True)
class Pong:
    """Worker answers Ping."""

    id: int
    kind: Literal["pong"] = "pong"


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """On how many samples a point was compared with the full model, and on how many they disagreed."""

    point: str
    seen: int
    disagreed: int


@dataclass(frozen=True, slots=True)
class StreamCount:
    """Frames of one stream, or Frigate's pictures. Of those `seen`, each is one of the others, or waits.

    `skipped` by the frame rate, `still` where nothing moved, `dropped` as newer ones came or, of Frigate's, as the
    answer was late, `turned_away` by the policy's limits. `problem` is why no frames come, empty while they do.
    `source` is where they come from, in words; `last_frame_at` Unix time, None before the worker's first one.
    """

    name: str
    source: str = ""
    seen: int = 0
    skipped: int = 0
    still: int = 0
    dropped: int = 0
    answered: int = 0
    turned_away: int = 0
    failed: int = 0
    problem: str = ""
    last_frame_at: float | None = None


@dataclass(frozen=True, slots=True)
class ModelServed:
    """What a further model served in the window of Served; the same words."""

    name: str
    requests: int
    failed: int
    samples: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    skip_ratio: float | None
    weights_resident_bytes: int


@dataclass(frozen=True, slots=True)
class Served:
    """Worker answers Report: what the main model served. Latencies are of inference alone; None of nothing.

    `turned_away` are requests to any model that the policy's limits refused (429 and 503). `dropped` says of each
    engine that was caught answering wrong what it did. `frigate` counts Frigate's pictures, None where it isn't
    asked for any. `models` are the further ones that are loaded, `resident_bytes` what the process holds.
    `footage_trouble` is why frames are not kept that should be; empty while they are, and where none should be.
    """

    id: int
    window_s: float
    requests: int
    failed: int
    samples: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    skip_ratio: float | None
    weights_resident_bytes: int
    turned_away: int = 0
    shadow: tuple[ShadowCount, ...] = ()
    dropped: tuple[str, ...] = ()
    streams: tuple[StreamCount, ...] = ()
    frigate: StreamCount | None = None
    models: tuple[ModelServed, ...] = ()
    resident_bytes: int | None = None
    footage_trouble: str = ""
    kind: Literal["served"] = "served"

    @property
    def asked_hz(self) -> float | None:
        """The load: requests a second, answered or not; None for a window without length."""
        asked = self.requests + self.failed + self.turned_away
        return asked / self.window_s if self.window_s > 0 else None


ToWorker = Switch | Ping | Report | AdmissionState | Serve | SetModels | ForgetFootage | Stop
FromWorker = Starting | Ready | Tried | Unable | Switched | Pong | Served | ModelStates | ModelsSet


@cache
def _to_worker() -> TypeAdapter[ToWorker]:
    # Not at import: each side reads what the other says, and only that.
    return TypeAdapter(Annotated[ToWorker, Field(discriminator="kind")])


@cache
def _from_worker() -> TypeAdapter[FromWorker]:
    return TypeAdapter(Annotated[FromWorker, Field(discriminator="kind")])


def encode(message: ToWorker | FromWorker) -> bytes:
    """One line of JSON, newline included; reasons are cut to REASON_LIMIT."""
    if isinstance(message, AdmissionState | Switched):
        message = replace(message, reason=shortened(message.reason, REASON_LIMIT))
    elif isinstance(message, Ready | Tried):
        refused = {point: shortened(reason, REASON_LIMIT) for point, reason in message.refused.items()}
        message = replace(message, refused=refused)
    elif isinstance(message, ModelStates):
        message = replace(message, models=tuple(_shorter(each) for each in message.models))
    elif isinstance(message, ModelsSet):
        failed = {model: shortened(reason, REASON_LIMIT) for model, reason in message.failed.items()}
        message = replace(message, failed=failed)
    return json.dumps(asdict(message), separators=(",", ":"), ensure_ascii=False).encode(errors="replace") + b"\n"


def _shorter(state: FurtherModelState) -> FurtherModelState:
    # All ladders have to fit into a line together.
    refused = {point: shortened(reason, REFUSED_LIMIT) for point, reason in state.refused.items()}
    return replace(state, reason=shortened(state.reason, REASON_LIMIT), refused=refused)


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The channel's lines until it closes or breaks. One longer than the reader's limit is left out and logged."""
    too_long = False
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(error.consumed)
            too_long = True
            continue
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # a process that is killed with something of ours unread resets the channel
        if too_long:
            log.error("a message of more than %d bytes was dropped", LINE_LIMIT_BYTES)
            too_long = False
        else:
            yield line


def decode_to_worker(line: bytes) -> ToWorker:
    """The message in one line. Raises pydantic.ValidationError for anything else."""
    return _to_worker().validate_json(line)


def decode_from_worker(line: bytes) -> FromWorker:
    """The message in one line. Raises pydantic.ValidationError for anything else."""
    return _from_worker().validate_json(line)
