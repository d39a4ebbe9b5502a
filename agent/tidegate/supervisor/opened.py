"""What an agent runs on, opened and checked before it serves."""

from dataclasses import dataclass

from tidegate.boards import Profile
from tidegate.documents import Document
from tidegate.models.bundle import Bundle
from tidegate.policy.board import Board
from tidegate.policy.brown_out import Guard
from tidegate.policy.store import PolicyStore
from tidegate.supervisor.control.brown_outs import BrownOutRecord
from tidegate.supervisor.control.last_run import LastRun
from tidegate.supervisor.sockets.listeners import Listeners
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.pushed_policy import First
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.spool import Spool
from tidegate_drivers.controls.controls import Controls
from tidegate_drivers.sampler import Sampler


@dataclass(frozen=True, slots=True)
class Opened:
    """`local` is the policy file of agent.yaml, `first` the policy to begin with: that one or a pushed one.

    `session` counts the agent's starts; `profile` and `broker` are None where agent.yaml names none. `last_run` is
    None before the first, `state_faults` says what is wrong with state that was found, in sentences. `guard` is
    that against brown-outs to begin with, `brown_outs` where its losses are kept.
    """

    bundle: Bundle
    profile: Profile | None
    local: Document
    first: First
    store: PolicyStore
    latest_time: LatestTime
    sampler: Sampler
    controls: Controls
    spool: Spool
    listeners: Listeners
    broker: Broker | None
    session: int
    last_run: LastRun | None
    state_faults: tuple[str, ...]
    guard: Guard
    brown_outs: BrownOutRecord

    @property
    def board(self) -> Board | None:
        """What policies for the board begin with."""
        return None if self.profile is None else self.profile.board
