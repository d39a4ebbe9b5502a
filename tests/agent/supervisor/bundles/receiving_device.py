"""The push path of bundles on one device over a directory that outlives it, and an operator that serves chunks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edited_bundle import SHIPPED

from tidegate.config import AgentConfig, config_in
from tidegate.fleet.bundle_content import BundleContent, content_of, push_of
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.supervisor.bundles.bundle_updates import BundleUpdates
from tidegate.supervisor.bundles.first_bundle import first_bundle
from tidegate.supervisor.bundles.slot_store import SlotStore
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.verdicts import BUNDLES_FILE_NAME, VerdictFile
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.telemetry.payloads.bundle_envelope import BundlePush, seal_bundle
from tidegate.telemetry.payloads.envelope import Target
from tidegate.telemetry.payloads.reported import PolicyState
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PrivateKey
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys
from tidegate_drivers.reading import POWER_SOURCE, Provenance, Reading, Snapshot

NOW = datetime(2027, 6, 1, tzinfo=UTC)
GATE = Target("device", "gate-7")
TOPIC = "tidegate/gate-7/bundle"
MODELS, POLICIES, STRANGER = (PrivateKey(bytes(32 * [number])) for number in (1, 2, 3))
TRUSTED = TrustedKeys(
    (
        TrustedKey("models", MODELS.public, frozenset({Role.BUNDLE})),
        TrustedKey("policies", POLICIES.public, frozenset({Role.POLICY})),
    )
)


async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


class Serving:
    """What serves, as far as a trial sees it; tells what it is told to."""

    def __init__(self, config: AgentConfig, bundle: Bundle, drift: DriftRecord) -> None:
        self.in_force = InForce(config, bundle, drift)
        self.not_ready = self.harm = self.other_policy = ""
        self.brought: list[str] = []

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        yield

    def watched(self) -> nullcontext[None]:
        return nullcontext()

    def problem_over(self, _bundle: Bundle) -> str | None:
        return self.other_policy or None

    async def bring(self, bundle: Bundle, drift: DriftRecord | None = None) -> None:
        if self.not_ready:
            raise WorkerDown(self.not_ready)
        self.brought.append(bundle.sha256)
        self.in_force = replace(self.in_force, bundle=bundle, drift=drift or self.in_force.drift)

    async def problem_in_service(self, _seconds: float) -> str | None:
        return self.harm or None


class Pushing:
    """An operator's bundle, its content, and the chunks that were sent of it."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = open_bundle(bundle)
        self.content: BundleContent = content_of(bundle)
        self.sent: list[str] = []
        self.loses: Callable[[str], bool] = lambda _: False

    def push(self, version: int, **more: object) -> BundlePush:
        return replace(push_of(self.bundle, self.content, version, GATE), **more)  # type: ignore[arg-type]

    def envelope(self, version: int, key: PrivateKey | None = MODELS, **more: object) -> Envelope:
        sealed = seal_bundle(self.push(version, **more), "digits", [] if key is None else [key])
        return replace(sealed, push_id=f"push-{version}")


class Device:
    """Everything of a device that a bundle meets on its way, but for the worker."""

    def __init__(
        self,
        directory: Path,
        *,
        trusted: TrustedKeys = TRUSTED,
        bundle: Path = SHIPPED,
        settings: str = "",
        patience_s: float = 0.05,
    ) -> None:
        self.events: list[Event] = []
        self.state_dir = directory / "state"
        self.state_dir.mkdir(exist_ok=True)
        text = f"device: gate-7\nbundle: {bundle}\npolicy: policy.yaml\nlisten: {{tcp: 0}}\n{settings}"
        config = config_in(text, directory / "agent.yaml")
        self.store = SlotStore(self.state_dir)
        first = first_bundle(self.store, bundle)
        drift = DriftRecord(self.state_dir, first.bundle.sha256, first.bundle.ladder, self.events.append)
        self.serving = Serving(config, first.bundle, drift)
        self.readings: dict[str, Reading] = {}
        self.operator: Pushing | None = None
        self.wanted: Mapping[str, object] | None = None
        self.asked: list[Mapping[str, object]] = []
        self.now = 1000.0
        times = LatestTime(self.state_dir, NOW.timestamp)
        self.keys = KeyStore(self.state_dir, trusted, times, self.events.append)
        self.updates = BundleUpdates(
            store=self.store,
            first=first,
            service=self.serving,
            keys=self.keys,
            latest_time=times,
            want=self._want,
            snapshot=lambda: Snapshot(time.monotonic(), self.readings),
            verdict_file=VerdictFile(self.state_dir, BUNDLES_FILE_NAME),
            emit=self.events.append,
            clock=lambda: self.now,
            patience=lambda _: patience_s,
        )
        self._answers: set[asyncio.Task[None]] = set()
        self.updates.start()

    @property
    def serves(self) -> str:
        return self.serving.in_force.bundle.sha256

    @property
    def verdict(self) -> PolicyState | None:
        """On the last push, whatever it was."""
        return self.updates.progress.refused or self.updates.progress.push

    async def stop(self) -> None:
        """No answer of the operator's comes to it afterwards either."""
        for answer in self._answers:
            answer.cancel()
        await self.updates.stop()

    async def push(self, envelope: Envelope | bytes, topic: str = TOPIC) -> None:
        """As MQTT's thread hands it over."""
        payload = envelope if isinstance(envelope, bytes) else envelope.to_json()
        await asyncio.to_thread(self.updates.receive, topic, payload)

    async def pushed(self, envelope: Envelope | bytes, topic: str = TOPIC) -> PolicyState:
        """The final verdict."""
        await self.push(envelope, topic)
        await until(lambda: self.verdict is not None and self.verdict.state != "trial")
        verdict = self.verdict
        assert verdict is not None
        return verdict

    def on_external_power(self) -> None:
        at = time.monotonic()
        self.readings[POWER_SOURCE] = Reading("external", "", at, Provenance.MEASURED, "test", 1000.0)

    def _want(self, document: Mapping[str, object] | None) -> None:
        self.wanted = document
        if document is None:
            return
        self.asked.append(document)
        if self.operator is not None:
            answer = asyncio.get_running_loop().create_task(self._answer(self.operator, document))
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)

    async def _answer(self, operator: Pushing, document: Mapping[str, object]) -> None:
        chunks = document["chunks"]
        assert isinstance(chunks, tuple)
        for sha256 in chunks:
            packed = operator.content.packed(sha256)
            if packed is not None and not operator.loses(sha256):
                operator.sent.append(sha256)
                await asyncio.to_thread(self.updates.receive_chunk, packed)
