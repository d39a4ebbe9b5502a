"""The agent at one moment, as one frozen state from which everything that is shown or sent is rendered."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.last_trial import LastTrial
from tidegate.messages import Served
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.decision import Decision
from tidegate.supervisor.control.drift_record import Demotion
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.status.troubles import Trouble
from tidegate.supervisor.updates.state import UpdatesState
from tidegate.supervisor.worker.process import WorkerState
from tidegate.telemetry.link.link import LinkState
from tidegate.telemetry.payloads.reported import PolicyState
from tidegate.telemetry.spool import SpoolCounters
from tidegate.trust.trusted_keys import TrustedKeys
from tidegate_drivers.reading import Snapshot


@dataclass(frozen=True, slots=True)
class AgentState:
    """`at` is Unix time in seconds; `bundle` is the bundle's SHA-256, hexadecimal.

    `worker_pid` is None while no worker runs, `decision` before the first one, `served` where no worker told,
    `broker` and `link` without a broker, `spool` while its file can't be read. `refused` are the points that the
    worker's engine can't run, by name, each with the reason. `failed_upgrade` is
    None where the last one was accepted.
    """

    at: float
    uptime_s: float
    version: str
    device: str
    groups: tuple[str, ...]
    model: str
    bundle: str
    ladder: Ladder
    engine: str
    point: OperatingPoint
    refused: Mapping[str, str]
    worker: WorkerState
    worker_pid: int | None
    worker_restarts: int
    switches: int
    updates: UpdatesState
    trusted_keys: TrustedKeys
    key_rotation: PolicyState | None
    allow_unsigned: bool
    decision: Decision | None
    snapshot: Snapshot
    served: Served | None
    broker: str | None
    link: LinkState | None
    spool: SpoolCounters | None
    demotions: tuple[Demotion, ...]
    troubles: tuple[Trouble, ...]
    recent: tuple[Event, ...]
    failed_upgrade: LastTrial | None = None
