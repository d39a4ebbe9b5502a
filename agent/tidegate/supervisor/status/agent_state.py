"""The agent at one moment, as one frozen state from which everything that is shown or sent is rendered."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.last_trial import LastTrial
from tidegate.messages import Served
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.decision import Decision
from tidegate.supervisor.bundles.progress import BundleProgress
from tidegate.supervisor.bundles.slots import Placed
from tidegate.supervisor.control.drift_record import Demotion
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.footage_watch import FootageState
from tidegate.supervisor.models.model_status import ModelStatus
from tidegate.supervisor.status.troubles import Trouble
from tidegate.supervisor.updates.state import UpdatesState
from tidegate.supervisor.worker.process import WorkerState
from tidegate.telemetry.link.link import LinkState
from tidegate.telemetry.payloads.reported import ComparedPoint, PolicyState, ReportedCertificate
from tidegate.telemetry.spool import SpoolCounters
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import TrustedKeys
from tidegate_drivers.reading import Snapshot


@dataclass(frozen=True, slots=True)
class AgentState:
    """`at` is Unix time in seconds; `bundle` is the bundle's SHA-256, hexadecimal.

    `bundle_push` is how the bundle was pushed, None for agent.yaml's.

    `worker_pid` is None while no worker runs, `decision` before the first one, `served` where no worker told,
    `broker` and `link` without a broker, `spool` while its file can't be read. `refused` are the points that the
    worker's engine can't run, by name, each with the reason. `failed_upgrade` is None where the last one was
    accepted, `upgrading_from` while no version is on trial, `held_at` while the policy alone decides,
    `data_left_bytes` where the broker has no `data_per_day`. `received` messages came from the broker, `heard` is
    what became of them. `latest_step_s` is by how much a decision of the last minute came late at most, None
    before the second one. `web_address` is empty where there is no status page,
    `footage` is None where no frames are kept, and before it was looked at;
    `certificate` where the bundle's own ones count;
    `exposure` where the endpoint lets others do nothing that is probably not meant. `models` are all, the main one
    first.
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
    upgrading_from: str | None = None
    held_at: str | None = None
    data_left_bytes: int | None = None
    bundle_path: str = ""
    bundle_push: Placed | None = None
    bundles: BundleProgress = field(default_factory=BundleProgress)
    compared: tuple[ComparedPoint, ...] = ()
    key_refusals: Mapping[Refusal, int] = field(default_factory=dict)
    received: int = 0
    heard: Mapping[tuple[str, str], int] = field(default_factory=dict)
    latest_step_s: float | None = None
    web_address: str = ""
    exposure: str = ""
    models: tuple[ModelStatus, ...] = ()
    footage: FootageState | None = None
    keeps_footage: bool = False
    certificate: ReportedCertificate | None = None
    certificate_push: PolicyState | None = None

    @property
    def refusals(self) -> Mapping[Refusal, int]:
        """How many pushes were refused since the start, of policies, bundles and keys together, by kind."""
        return Counter(self.updates.refusals) + Counter(self.bundles.refusals) + Counter(self.key_refusals)
