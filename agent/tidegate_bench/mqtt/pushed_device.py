"""A light device that takes pushes: the real machines for policies and bundles, over a worker that is none.

Both keep all that they must know in one directory, so that the next device in it is the next start of this one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from tidegate.config import AgentConfig, config_in
from tidegate.documents import parse
from tidegate.fleet.bundle_content import BundleContent
from tidegate.messages import AdmissionState, Switched
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.ladder import Ladder
from tidegate.paths import profiles_directory
from tidegate.policy.store import PolicyStore
from tidegate.supervisor.bundles.bundle_updates import BundleUpdates
from tidegate.supervisor.bundles.first_bundle import first_bundle
from tidegate.supervisor.bundles.slot_store import SlotStore
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.policy_updates import PolicyUpdates
from tidegate.supervisor.updates.pushed_policy import Reader, first_policy
from tidegate.supervisor.updates.verdicts import BUNDLES_FILE_NAME, VerdictFile
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.supervisor.worker.rest import Rest
from tidegate.telemetry.payloads.envelope import Target
from tidegate.trust.keys import PrivateKey
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys
from tidegate_bench.broken import BrokenError
from tidegate_drivers.reading import Snapshot

DEVICE = "killed"
TARGET = Target("device", DEVICE)
OPERATOR = PrivateKey(bytes(32 * [7]))
TRUSTED = TrustedKeys((TrustedKey("operator", OPERATOR.public, frozenset(Role)),))
SHIPPED = profiles_directory() / "bundles" / "digits"
LOCAL = "tidegate: 1\nname: local\nversion: 1\nmax_accuracy_loss: 5 %\ndwell: {down: 0 s, up: 0 s}\n"
NOW = datetime(2027, 6, 1, tzinfo=UTC)
VERDICT_S = 30.0


def policy(version: int, more: str = "") -> str:
    """A policy that this device can run."""
    text = LOCAL.replace("name: local", f"name: pushed-{version}").replace("version: 1", f"version: {version}")
    return text + more


class _Worker:
    """Follows and answers, or says that it does not."""

    def __init__(self, ladder: Ladder, *, answers: bool) -> None:
        self.point = ladder.full.name
        self.refused: dict[str, str] = {}
        self.held_point: str | None = None
        self._answers = answers

    async def wait_ready(self) -> None:
        """It is."""

    def set_admission(self, state: AdmissionState) -> None:
        """Nobody asks it."""

    async def sleep(self, rest: Rest) -> None:
        """No policy here puts it to sleep."""
        raise BrokenError(f"put to sleep: {rest.reason}")

    def wake(self) -> None:
        """It is awake."""

    async def switch(self, point: str) -> Switched:
        """At once."""
        self.point = point
        return Switched(0, True, point, 0.0, 0.0, 1.0)

    async def ping(self) -> None:
        """As it was told to."""
        if not self._answers:
            raise WorkerDown("no answer")


class _NoSensors:
    def snapshot(self) -> Snapshot:
        return _nothing_known()


def _nothing_known() -> Snapshot:
    return Snapshot(time.monotonic(), {})


class PolicyDevice:
    """What policies meet on their way. Belongs to the event loop that it is made in."""

    def __init__(self, directory: Path, *, answers: bool = True) -> None:
        ladder = open_bundle(SHIPPED).ladder
        worker = _Worker(ladder, answers=answers)
        self.store = PolicyStore(directory)
        local = parse(LOCAL, "local.yaml")
        times = LatestTime(directory, NOW.timestamp)
        first = first_policy(self.store, Reader(local, None, lambda: ladder))
        control = Control(
            ladder=ladder,
            policy=first.running.policy,
            worker=worker,
            sensors=_NoSensors(),
            drift=DriftRecord(directory, "digits", ladder, lambda _: None),
            emit=lambda _: None,
        )
        self.keys = KeyStore(directory, TRUSTED, times, lambda _: None)
        self.updates = PolicyUpdates(
            store=self.store,
            first=first,
            reader=Reader(local, None, lambda: control.runnable),
            latest_time=times,
            control=control,
            worker=worker,
            keys=self.keys,
            allow_unsigned=False,
            verdict_file=VerdictFile(directory),
            snapshot=_nothing_known,
            emit=lambda _: None,
        )

    @property
    def runs(self) -> tuple[int, str]:
        """Version and hash of the policy in force."""
        running = self.updates.state.running
        return running.policy.version, running.digest

    async def pushed(self, envelope: bytes) -> str:
        """Take a push as MQTT's thread hands it over; what became of it. Raises BrokenError where nothing does."""
        before = self.updates.state.results
        await asyncio.to_thread(self.updates.receive, TARGET.topic, envelope)
        await until(lambda: self.updates.state.results > before and not self.updates.state.on_trial)
        refused = self.updates.state.refused
        await asyncio.to_thread(self.updates.keep_verdicts)
        return "accepted" if refused is None else refused.state


class _Serving:
    """What serves, as far as a trial sees it."""

    def __init__(self, in_force: InForce, *, harm: str) -> None:
        self.in_force = in_force
        self._harm = harm

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nobody else is here."""
        yield

    def watched(self) -> nullcontext[None]:
        """Nobody asks it."""
        return nullcontext()

    def problem_over(self, _bundle: Bundle) -> str | None:
        """The ladders are of the same points."""
        return None

    async def bring(self, bundle: Bundle, drift: DriftRecord | None = None) -> None:
        """At once."""
        self.in_force = replace(self.in_force, bundle=bundle, drift=drift or self.in_force.drift)

    async def problem_in_service(self, _seconds: float) -> str | None:
        """As it was told to."""
        return self._harm or None


class BundleDevice:
    """What bundles meet on their way; `operator` answers what it asks for. Belongs to the event loop."""

    def __init__(self, directory: Path, operator: BundleContent, *, harm: str = "") -> None:
        directory.mkdir(exist_ok=True)
        text = f"device: {DEVICE}\nbundle: {SHIPPED}\npolicy: policy.yaml\nlisten: {{tcp: 0}}\n"
        config: AgentConfig = config_in(text, directory / "agent.yaml")
        self._operator = operator
        self._store = SlotStore(directory)
        first = first_bundle(self._store, SHIPPED)
        drift = DriftRecord(directory, first.bundle.sha256, first.bundle.ladder, lambda _: None)
        self.serving = _Serving(InForce(config, first.bundle, drift), harm=harm)
        times = LatestTime(directory, NOW.timestamp)
        self.updates = BundleUpdates(
            store=self._store,
            first=first,
            service=self.serving,
            keys=KeyStore(directory, TRUSTED, times, lambda _: None),
            latest_time=times,
            want=self._want,
            snapshot=_nothing_known,
            verdict_file=VerdictFile(directory, BUNDLES_FILE_NAME),
            emit=lambda _: None,
            patience=lambda _: 0.05,
        )
        self._answers: set[asyncio.Task[None]] = set()
        self.updates.start()

    @property
    def serves(self) -> Bundle:
        """The bundle in force."""
        return self.serving.in_force.bundle

    @property
    def _state(self) -> str:
        """Of the last push, whatever it was."""
        progress = self.updates.progress
        verdict = progress.refused or progress.push
        return "trial" if verdict is None else verdict.state

    async def pushed(self, envelope: bytes) -> str:
        """Take a push as MQTT's thread hands it over; what became of it. Raises BrokenError where nothing does."""
        await asyncio.to_thread(self.updates.receive, f"tidegate/{DEVICE}/bundle", envelope)
        await until(lambda: self._state != "trial")
        return self._state

    def _want(self, document: Mapping[str, object] | None) -> None:
        if document is not None:
            chunks = [str(sha256) for sha256 in cast("Sequence[object]", document["chunks"])]
            answer = asyncio.get_running_loop().create_task(self._answer(chunks))
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)

    async def _answer(self, chunks: Sequence[str]) -> None:
        for sha256 in chunks:
            if (packed := self._operator.packed(sha256)) is not None:
                await asyncio.to_thread(self.updates.receive_chunk, packed)


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds. Raises BrokenError after VERDICT_S."""
    deadline = time.monotonic() + VERDICT_S
    while not holds():
        if time.monotonic() > deadline:
            raise BrokenError(f"a push came to no verdict within {VERDICT_S:g} s")
        await asyncio.sleep(0.002)
