"""The agent's status as data, and the Unix socket that hands it out to `tidegate status`."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.messages import Served
from tidegate.policy.explain import Explanation
from tidegate.supervisor.drift_record import Demotion
from tidegate.supervisor.local_socket import serve_local
from tidegate.supervisor.troubles import Trouble
from tidegate_drivers.reading import Freshness, Reading, Snapshot

FILE_NAME = "status.sock"


@dataclass(frozen=True, slots=True)
class ReadingStatus:
    """One reading as shown: `value` is None when unavailable, and `reason` says why."""

    value: float | str | None
    unit: str
    provenance: str
    source: str
    freshness: Freshness
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """The policy in force."""

    name: str
    version: int
    hash: str
    origin: str


@dataclass(frozen=True, slots=True)
class RungStatus:
    """One operating point of the ladder as shown; `refused` says why this device's engine never uses it."""

    name: str
    certified_risk: float | None
    accuracy: float | None
    latency_p50_ms: float
    refused: str = ""


@dataclass(frozen=True, slots=True)
class DecisionStatus:
    """The last decision."""

    point: str
    rule: str | None
    reason: str
    fits: bool
    held_back: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """The worker process."""

    state: str
    pid: int | None
    restarts: int


@dataclass(frozen=True, slots=True)
class TelemetryStatus:
    """The MQTT link and the spool; counts are since the spool was made, None while its file can't be read.

    `reason` says why the broker is not reached or what it refused, `since` (Unix time) how long the link is as it
    is. `in_memory` of the waiting rows are not on the disk.
    """

    link: str
    broker: str | None
    spooled: int | None
    published: int | None
    waiting: int | None
    dropped: dict[str, int] | None
    reason: str = ""
    since: float | None = None
    in_memory: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Everything the live view, `tidegate status` and the JSON lines show."""

    device: str
    version: str
    uptime_s: float
    model: str
    engine: str
    point: str
    certified_risk: float | None
    switches: int
    policy_pushes_applied: int
    policy: PolicyStatus
    decision: DecisionStatus | None
    ladder: tuple[RungStatus, ...]
    readings: dict[str, ReadingStatus]
    worker: WorkerStatus
    telemetry: TelemetryStatus
    served: Served | None = None
    explanation: Explanation | None = None
    demotions: tuple[Demotion, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    recent: tuple[dict[str, object], ...] = field(default_factory=tuple)


_status = TypeAdapter(Status)


class StatusError(TidegateError):
    """The agent's status can't be had; the message says what to do."""

    exit_code = EX_UNAVAILABLE


def show_readings(snapshot: Snapshot) -> dict[str, ReadingStatus]:
    """The snapshot's readings as shown, in its order."""
    return {name: show_reading(reading, snapshot.freshness(name)) for name, reading in snapshot.readings.items()}


def show_reading(reading: Reading, freshness: Freshness) -> ReadingStatus:
    """One reading as shown."""
    return ReadingStatus(
        reading.value, reading.unit, reading.provenance, reading.source, freshness, reading.reason
    )


def to_json(status: Status) -> str:
    """One line of JSON."""
    return json.dumps(asdict(status), separators=(",", ":"), default=str)


async def serve_status(
    path: Path, status: Callable[[], Status], refresh: Callable[[], Awaitable[None]]
) -> asyncio.Server:
    """Hand the status out, one JSON document per connection; `refresh` is awaited before each."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await refresh()
        writer.write(to_json(status()).encode() + b"\n")
        await writer.drain()

    return await serve_local(path, answer)


async def fetch_status(path: Path) -> Status:
    """The status of the agent whose state directory holds `path`. Raises StatusError."""
    async with open_agent(path) as (reader, _):
        document = await reader.read()
    try:
        return _status.validate_json(document)
    except ValidationError:
        raise StatusError(f"{path}: the agent hung up; its log says more") from None


@asynccontextmanager
async def open_agent(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to one of a running agent's sockets, for a few seconds. Raises StatusError."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_unix_connection(path)
            yield reader, writer
            writer.close()
    except FileNotFoundError:
        raise StatusError(f"{path}: no agent is running here; start one with `tidegate run`") from None
    except ConnectionRefusedError:
        raise StatusError(f"{path}: the agent that was here is gone; start it with `tidegate run`") from None
    except PermissionError:
        raise StatusError(f"{path}: not allowed; run as the agent's user or group") from None
    except TimeoutError:
        raise StatusError(f"{path}: the agent does not answer; its log says more") from None
    except OSError as error:
        # It hung up while it ends or starts over, or so many ask that the kernel takes no more.
        raise StatusError(f"{path}: the agent can't be asked just now: {error.strerror}; try again") from None
