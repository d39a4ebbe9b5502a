"""What an agent runs on, opened and checked before it serves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.boards import Profile
from tidegate.documents import Document
from tidegate.messages import TcpAccess
from tidegate.models.bundle import Bundle
from tidegate.policy.board import Board
from tidegate.policy.brown_out import Guard
from tidegate.policy.store import PolicyStore
from tidegate.supervisor.bundles.first_bundle import FirstBundle
from tidegate.supervisor.bundles.slot_store import SlotStore
from tidegate.supervisor.control.brown_outs import BrownOutRecord
from tidegate.supervisor.control.last_run import LastRun
from tidegate.supervisor.models.further_model import FurtherModel
from tidegate.supervisor.own_certificate import CertifiedBundle
from tidegate.supervisor.sockets.listeners import Listeners
from tidegate.supervisor.state_schema.bring import UnstatedSchema
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.pushed_policy import First
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.spool import Spool
from tidegate_drivers.controls.controls import Controls
from tidegate_drivers.sampler import Sampler


@dataclass(frozen=True, slots=True)
class Opened:
    """`local` is the policy file of agent.yaml, `first` the policy to begin with: that one or a pushed one.

    `session` counts the agent's starts; `access` is asked of those who
    connect to `listeners` over TCP; `profile`, `broker` and `frigate`, where Frigate asks,
    are None where agent.yaml names none. `slots` holds
    pushed bundles. `last_run` is None before the first, `state_faults` says what is wrong with state that was
    found, in sentences, and `schema` whether it is stated. `certified` is the bundle to begin with. `guard` is
    that against brown-outs to begin with,
    `brown_outs` where its losses are kept.
    """

    first_bundle: FirstBundle
    certified: CertifiedBundle
    slots: SlotStore
    profile: Profile | None
    local: Document
    first: First
    store: PolicyStore
    latest_time: LatestTime
    sampler: Sampler
    controls: Controls
    spool: Spool
    listeners: Listeners
    access: TcpAccess
    frigate: Listeners | None
    broker: Broker | None
    session: int
    last_run: LastRun | None
    state_faults: tuple[str, ...]
    schema: UnstatedSchema
    guard: Guard
    brown_outs: BrownOutRecord
    models: tuple[FurtherModel, ...] = ()
    """Those beside the main one."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Those that could not be opened, each with the reason."""

    @property
    def bundle(self) -> Bundle:
        """The bundle to begin with, agent.yaml's or a pushed one, with the certificates that it has here."""
        return self.certified.bundle

    @property
    def board(self) -> Board | None:
        """What policies for the board begin with."""
        return None if self.profile is None else self.profile.board
