"""The agent's status as data: all that `tidegate status`, the live view and the JSON lines show."""

import json
from dataclasses import asdict, dataclass, field

from tidegate.messages import Served
from tidegate.policy.explain import Explanation
from tidegate.supervisor.control.drift_record import Demotion
from tidegate.supervisor.models.model_status import ModelStatus
from tidegate.supervisor.status.troubles import Trouble
from tidegate.telemetry.payloads.reported import ReportedCertificate, ReportedKey
from tidegate_drivers.reading import Freshness, Reading, Snapshot


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
    """The policy in force; `signed_by` names the trusted keys that signed it, none where that is not known."""

    name: str
    version: int
    hash: str
    origin: str
    signed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """The bundle in force and where it lies; `origin` is `local` for agent.yaml's, or `pushed` as `version`.

    `coming` says how far a pushed one is that is not in force yet; empty without one.
    """

    hash: str
    path: str
    origin: str
    version: int | None = None
    signed_by: tuple[str, ...] = ()
    coming: str = ""


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
    is. `in_memory` of the waiting rows are not on the disk, `merged` ones have gone into others.
    `data_left_bytes` may be sent now of the broker's `data_per_day`, None without one.
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
    merged: int | None = None
    data_left_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FootageStatus:
    """Frames kept on this device: an even sample of clips, and inputs on which a point and full differed.

    `oldest` and `newest` (ISO 8601) are None while there are none.
    """

    sampled: int
    disagreements: int
    size_bytes: int
    oldest: str | None
    newest: str | None
    max_bytes: int
    max_age_s: float
    clip_s: float
    directory: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything the live view, `tidegate status` and the JSON lines show.

    `refusals` counts refused pushes since the start, by kind; `keys` are those whose signatures count. `held_at`
    is the point that somebody holds, None while the policy alone decides. `received` messages came from the broker
    since the start, `heard` counts what became of them, such as `input refused`. `latest_step_s` is by how much a
    decision of the last minute came late at most, None before the second one. `web_address` says where the status
    page is, empty where none is served. `exposure` is what the endpoint lets others do that is probably not meant.
    `models` are all that are served, the main one first, of which everything else here is told.
    `footage` is None where no frames are kept, `certificate` where the bundle's own ones count.
    """

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
    allow_unsigned: bool = False
    keys: tuple[ReportedKey, ...] = ()
    refusals: dict[str, int] = field(default_factory=dict)
    recent: tuple[dict[str, object], ...] = field(default_factory=tuple)
    held_at: str | None = None
    bundle: BundleStatus | None = None
    received: int = 0
    heard: dict[str, int] = field(default_factory=dict)
    latest_step_s: float | None = None
    web_address: str = ""
    exposure: str = ""
    models: tuple[ModelStatus, ...] = ()
    footage: FootageStatus | None = None
    certificate: ReportedCertificate | None = None


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
