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
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.opened import Opened
from tidegate.supervisor.pushed_certificate import PushedCertificates
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.policy_updates import PolicyUpdates
from tidegate.supervisor.updates.pushed_policy import Reader
from tidegate.supervisor.updates.trust import PolicyTrust
from tidegate.supervisor.updates.verdicts import VerdictFile
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.topics import is_certificate, is_keys


@dataclass(frozen=True, slots=True)
class Deciding:
    """`control` decides by the policy that `updates` puts in force, if it is signed by those in `keys`.

    `trust` is what the owner may ask and set, `certificates` are those of this place that are pushed.
    """

    control: Control
    inputs: Inputs
    settings: Settings
    keys: KeyStore
    updates: PolicyUpdates
    trust: PolicyTrust
    certificates: PushedCertificates

    def receive(self, topic: str, payload: bytes) -> None:
        """Take pushed policies, keys, certificates; raises when it could not be made durable. On MQTT's thread."""
        if is_certificate(topic):
            self.certificates.receive(topic, payload)
        else:
            (self.keys if is_keys(topic) else self.updates).receive(topic, payload)


def wire_deciding(
    config: AgentConfig,
    opened: Opened,
    worker: WorkerProcess,
    drift: DriftRecord,
    emit: Callable[[Event], None],
    heard: Heard,
    in_force: Callable[[], InForce],
) -> Deciding:
    """By the first policy, over the points that the worker's engine runs."""
    inputs = Inputs(config.inputs.max_age, emit, counts=heard)
    control = Control(
        ladder=opened.bundle.ladder,
        policy=opened.first.running.policy,
        worker=worker,
        sensors=opened.sampler,
        drift=drift,
        inputs=inputs.readings,
        emit=emit,
        guard=opened.guard,
        prior=GENERIC if opened.profile is None else opened.profile.device.prior,
    )
    keys = KeyStore(config.state_dir, trusted_keys(config), opened.latest_time, emit)
    updates = PolicyUpdates(
        store=opened.store,
        first=opened.first,
        reader=Reader(opened.local, opened.board, lambda: control.runnable),
        latest_time=opened.latest_time,
        control=control,
        worker=worker,
        keys=keys,
        allow_unsigned=config.allow_unsigned,
        verdict_file=VerdictFile(config.state_dir),
        snapshot=control.snapshot,
        emit=emit,
    )
    trust = PolicyTrust(opened.store, opened.latest_time, updates, emit)
    certificates = PushedCertificates(keys, in_force, updates.problem_over, emit)
    return Deciding(control, inputs, Settings(opened.controls, emit), keys, updates, trust, certificates)
