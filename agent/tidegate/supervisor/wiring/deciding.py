"""What decides: the control and its readings, the device's settings, and the policies that are pushed."""

from collections.abc import Callable
from dataclasses import dataclass

from tidegate.config import AgentConfig, trusted_keys
from tidegate.policy.learned import GENERIC
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.control.inputs import Inputs
from tidegate.supervisor.control.settings import Settings
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.opened import Opened
from tidegate.supervisor.updates.policy_updates import PolicyUpdates
from tidegate.supervisor.updates.pushed_policy import Reader
from tidegate.supervisor.updates.trust import PolicyTrust
from tidegate.supervisor.updates.verdicts import VerdictFile
from tidegate.supervisor.worker.process import WorkerProcess


@dataclass(frozen=True, slots=True)
class Deciding:
    """`control` decides by the policy that `updates` puts in force; `trust` is what the owner may ask and set."""

    control: Control
    inputs: Inputs
    settings: Settings
    updates: PolicyUpdates
    trust: PolicyTrust


def wire_deciding(
    config: AgentConfig, opened: Opened, worker: WorkerProcess, drift: DriftRecord, emit: Callable[[Event], None]
) -> Deciding:
    """By the first policy, over the points that the worker's engine runs."""
    inputs = Inputs(config.inputs.max_age, emit)
    control = Control(
        ladder=opened.bundle.ladder,
        policy=opened.first.running.policy,
        worker=worker,
        sensors=opened.sampler,
        drift=drift,
        inputs=inputs.readings,
        emit=emit,
        prior=GENERIC if opened.profile is None else opened.profile.device.prior,
    )
    updates = PolicyUpdates(
        store=opened.store,
        first=opened.first,
        reader=Reader(opened.local, opened.board, lambda: control.runnable),
        latest_time=opened.latest_time,
        control=control,
        worker=worker,
        trusted_keys=trusted_keys(config),
        allow_unsigned=config.allow_unsigned,
        verdict_file=VerdictFile(config.state_dir),
        emit=emit,
    )
    trust = PolicyTrust(opened.store, opened.latest_time, updates, emit)
    return Deciding(control, inputs, Settings(opened.controls, emit), updates, trust)
