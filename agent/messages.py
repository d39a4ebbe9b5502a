"""What the supervisor and the worker say to each other: the only thing the two processes share.

One JSON object a line over a socket pair. Every message is a frozen dataclass whose `kind` names it.
"""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter


@dataclass(frozen=True, slots=True)
class Switch:
    """Supervisor: prepare this operating point, switch between two requests, verify on the canaries."""

    id: int
    point: str
    kind: Literal["switch"] = "switch"


@dataclass(frozen=True, slots=True)
class Ping:
    """Supervisor: say that requests are still being answered (goes through the inference lane)."""

    id: int
    kind: Literal["ping"] = "ping"


@dataclass(frozen=True, slots=True)
class Stop:
    """Supervisor: answer what is in flight, then end."""

    kind: Literal["stop"] = "stop"


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker: the engine is up and requests are answered at `point`."""

    pid: int
    point: str
    model: str
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Switched:
    """Worker: the switch happened, or it was taken back (`ok` False) and `point` is what serves now."""

    id: int
    ok: bool
    point: str
    prepare_ms: float
    switch_ms: float
    canary_agreement: float
    reason: str = ""
    kind: Literal["switched"] = "switched"


@dataclass(frozen=True, slots=True)
class Pong:
    """Worker: the inference lane is alive."""

    id: int
    kind: Literal["pong"] = "pong"


@dataclass(frozen=True, slots=True)
class Served:
    """Worker: what was answered since the last report. Latencies are of inference alone, None without any."""

    window_s: float
    requests: int
    failed: int
    samples: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    skip_ratio: float | None
    weights_resident_bytes: int
    kind: Literal["served"] = "served"


ToWorker = Switch | Ping | Stop
FromWorker = Ready | Switched | Pong | Served

_to_worker: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="kind")])
_from_worker: TypeAdapter[FromWorker] = TypeAdapter(Annotated[FromWorker, Field(discriminator="kind")])


def encode(message: ToWorker | FromWorker) -> bytes:
    """One line of JSON, newline included."""
    return json.dumps(asdict(message), separators=(",", ":")).encode() + b"\n"


def decode_to_worker(line: bytes) -> ToWorker:
    """The message in one line. Raises pydantic.ValidationError for anything else."""
    return _to_worker.validate_json(line)


def decode_from_worker(line: bytes) -> FromWorker:
    """The message in one line. Raises pydantic.ValidationError for anything else."""
    return _from_worker.validate_json(line)
