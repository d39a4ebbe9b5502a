"""Pushed bundles: taken in, tried, and put in force or rolled back.

Order: verify, validate, persist the trusted version, take the content in, trial (canaries, then service under
watch), health, commit, report. A push that fails anywhere is refused or rolled back with its reason; the bundle in
force stays, and lies in the other slot or where agent.yaml says, untouched.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as NoAnswerError
from dataclasses import replace
from pathlib import Path

from tidegate.content.chunk import ContentError
from tidegate.documents import DocumentError
from tidegate.models.bundle import open_bundle
from tidegate.models.errors import BundleError
from tidegate.shortened import shortened
from tidegate.supervisor.bundles.asking import patience_s
from tidegate.supervisor.bundles.bundle_swap import TRIAL_S
from tidegate.supervisor.bundles.first_bundle import FirstBundle, base_of, left
from tidegate.supervisor.bundles.fitness import unfit
from tidegate.supervisor.bundles.intake import Intake, Want
from tidegate.supervisor.bundles.progress import BundleProgress, after, at_start, taken_in
from tidegate.supervisor.bundles.pushed_bundle import PushedBundle, read_pushed
from tidegate.supervisor.bundles.slot_store import SlotStore, SlotStoreError
from tidegate.supervisor.bundles.slots import (
    STOPPED,
    Placed,
    confirm,
    give_up,
    judge,
    leave,
    offer,
    put_off,
    take_back,
    verdict_on,
)
from tidegate.supervisor.bundles.trial import BundleTrial, Service
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.updates.crash_loop import CrashLoop
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.outcome import (
    BUNDLE,
    REASON_LIMIT,
    Accepted,
    Deferred,
    Rejected,
    Repeated,
    RolledBack,
    UpdateResult,
    event_of,
)
from tidegate.supervisor.updates.policy_updates import HAND_OVER_DEADLINE_S, NotYetError
from tidegate.supervisor.updates.push_condition import until_it_holds, waits_for
from tidegate.supervisor.updates.screening import Known, screen
from tidegate.supervisor.updates.verdicts import VerdictFile, remembered
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.payloads.bundle_envelope import BundlePush, bundle_in
from tidegate.telemetry.payloads.envelope import MAX_ENVELOPE_BYTES, EnvelopeError, open_envelope
from tidegate.trust.dsse import Envelope
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import NotSigned, Role, Signed
from tidegate_drivers.reading import Snapshot

log = logging.getLogger(__name__)


class BundleUpdates:
    """`receive` and `receive_chunk` are called on MQTT's thread, all else is the loop's."""

    def __init__(
        self,
        *,
        store: SlotStore,
        first: FirstBundle,
        service: Service,
        keys: KeyStore,
        latest_time: LatestTime,
        want: Want,
        snapshot: Callable[[], Snapshot],
        verdict_file: VerdictFile,
        emit: Callable[[Event], None],
        trial_s: float = TRIAL_S,
        patience: Callable[[int], float] = patience_s,
        clock: Callable[[], float] = time.monotonic,
        counts: Heard | None = None,
    ) -> None:
        self.progress = at_start(store.slots, verdict_file.read())
        self._store = store
        self._service = service
        self._keys = keys
        self._latest_time = latest_time
        self._snapshot = snapshot
        self._verdict_file = verdict_file
        self._emit = emit
        self._trial = BundleTrial(store, service, keys, emit, trial_s)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._intake = Intake(want, self._tell_trouble, self._tell_share, patience=patience, counts=counts)
        self._one_at_a_time = asyncio.Lock()
        self._trying: asyncio.Task[None] | None = None
        self._taking_back: asyncio.Task[None] | None = None
        self._crash_loop = CrashLoop(None)
        self._told = ""
        self._under_way: PushedBundle | None = None
        self._push_id = ""
        self._tell_start(first)

    def start(self) -> None:
        """Go on with what was coming in when the agent stopped."""
        self._store.collect()
        incoming = self._store.slots.incoming
        if incoming is None:
            self._intake.forget()
            return
        try:
            pushed = read_pushed(open_envelope(incoming.envelope.encode()))
        except (EnvelopeError, DocumentError) as error:
            self._drop(f"it can't be read any more: {error}")
            return
        self._begin(pushed)

    async def stop(self) -> None:
        """Leave what is under way for the next start."""
        tasks = [task for task in (self._trying, self._taking_back) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a pushed bundle; raises when it could not be made durable, and is then handed it again."""
        taken = asyncio.run_coroutine_threadsafe(self._take(topic, payload), self._loop)
        try:
            taken.result(HAND_OVER_DEADLINE_S)
        except NoAnswerError:
            taken.cancel()
            raise NotYetError("another bundle is on trial; it is looked at afterwards") from None

    def receive_chunk(self, packed: bytes) -> None:
        """Take a piece of the bundle that comes in."""
        self._intake.receive(packed)

    def path_for(self, configured: Path) -> Path:
        """Where the bundle lies that is to be served where agent.yaml names this one."""
        active = self._store.slots.active
        if active is None or active.base.replaced_by(base_of(configured)):
            return configured
        return self._store.path(active.slot)

    def note_in_force(self) -> None:
        """After a reload: agent.yaml's own bundle may have taken over from a pushed one."""
        active, bundle = self._store.slots.active, self._service.in_force.bundle
        if active is not None and bundle.path != self._store.path(active.slot).absolute():
            self._store.step_back(leave(self._store.slots))
            self._emit(Event(EventKind.BUNDLE, left(active, self._service.in_force.config.bundle)))

    @property
    def in_force(self) -> Placed | None:
        """The pushed bundle in force; None where agent.yaml's is."""
        return self._store.slots.active

    def write_down(self) -> None:
        """What is due on the disk now and then; waits for it, and so belongs into a thread."""
        self._store.settle()
        self.keep_verdicts()

    def keep_verdicts(self) -> None:
        """Write the last verdicts down, if there are new ones."""
        self._verdict_file.write(self.progress.verdicts)

    def worker_ended(self) -> None:
        """Count a worker that ended unasked; too many of them under a pushed bundle and it is taken back."""
        active = self._store.slots.active
        if active is None or self._store.slots.on_trial:
            return
        reason = self._crash_loop.note(self._clock())
        if reason and (self._taking_back is None or self._taking_back.done()):
            self._taking_back = self._loop.create_task(self._take_back(active, reason))

    async def _take(self, topic: str, payload: bytes) -> None:
        """Everything up to the durable write; the content follows, so that the broker gets its answer."""
        try:
            # In a thread: 256 KiB of JSON take a small processor longer than a control step may be late.
            envelope, push = await asyncio.to_thread(_opened, payload)
        except EnvelopeError as error:
            kind = Refusal.TOO_LARGE if len(payload) > MAX_ENVELOPE_BYTES else Refusal.MALFORMED
            self._conclude(Rejected(0, "", str(error), kind), "")
            return
        try:
            result = await self._judge(envelope, push, topic)
        except SlotStoreError as error:
            self._conclude(Deferred(push.version, push.hash, str(error)), push.push_id)
            raise
        except NotYetError:
            raise
        except Exception as error:
            log.exception("pushed bundle version %s", push.version)
            result = Rejected(push.version, push.hash, f"it broke the agent's checks: {error!r}", Refusal.INVALID)
        if isinstance(result, Repeated) and self._is_under_way(envelope):
            # A broker sends what it has retained at each connection: the verdict to come answers the last one.
            self._push_id = push.push_id
        if result is not None:
            self._conclude(result, push.push_id)

    async def _judge(
        self, envelope: Envelope, push: BundlePush, topic: str
    ) -> Accepted | Rejected | Repeated | None:
        """Verify, validate, persist the trusted version; None when its content is taken in from now on."""
        signed = await asyncio.to_thread(self._keys.trusted.judge, envelope, Role.BUNDLE)
        if (result := screen(push, topic, self._known(push, signed))) is not None:
            return result
        slot = self._store.path(self._store.slots.free)
        if (refused := await asyncio.to_thread(unfit, push, self._largest, slot)) is not None:
            return refused
        pushed = await asyncio.to_thread(read_pushed, envelope)
        if self._store.slots.on_trial:
            raise NotYetError("another bundle is on trial; this one is looked at afterwards")
        signers = signed.by if isinstance(signed, Signed) else ()
        async with self._one_at_a_time:
            if (result := screen(push, topic, self._known(push, signed))) is not None:
                return result  # another push came in between
            if self._is_under_way(envelope):
                return Repeated(push.version, push.hash)
            if self._trying is not None:
                self._trying.cancel()
                await asyncio.gather(self._trying, return_exceptions=True)
            if push.hash == self._service.in_force.bundle.sha256:
                slots = confirm(self._store.slots, push.version, push.hash, signers)
                await asyncio.to_thread(self._store.write, slots)
                return Accepted(push.version, push.hash, self._service.in_force.bundle.model, signers)
            text = envelope.to_json().decode()
            before = self._store.slots
            slots = offer(before, push.version, push.hash, text, signers)
            await asyncio.to_thread(self._store.write, slots)
            if before.incoming is None:
                # Not overwritten: a worker that served it may still answer its last requests from these files.
                await asyncio.to_thread(self._store.clear, slots.free)
            self._begin(pushed)
        return None

    def _begin(self, pushed: PushedBundle) -> None:
        self._under_way, self._push_id = pushed, pushed.push.push_id
        self._doing(pushed.push, "it is taken in")
        self._trying = self._loop.create_task(self._bring_in(pushed))

    def _is_under_way(self, envelope: Envelope) -> bool:
        """Whether just this is being taken in."""
        busy = self._trying is not None and not self._trying.done()
        return busy and self._under_way is not None and self._under_way.envelope.payload == envelope.payload

    @property
    def _largest(self) -> int:
        return int(self._service.in_force.config.pushed_bundles.max_size)

    def _known(self, push: BundlePush, signed: Signed | NotSigned) -> Known:
        return Known(
            offer=judge(self._store.slots, push.version, push.hash),
            rolled_back=verdict_on(self._store.slots, push.version, push.hash),
            now=self._latest_time.now(),
            clock_problem=self._latest_time.problem,
            signed=signed,
            allow_unsigned=False,
        )

    async def _bring_in(self, pushed: PushedBundle) -> None:
        """Take it in and try it, again and again as long as the disk refuses."""
        push, backoff = pushed.push, Backoff(base_s=2.0, cap_s=600.0)
        while True:
            try:
                result = await self._attempt(pushed)
            except (SlotStoreError, OSError) as error:
                if self._store.slots.on_trial:
                    self._store.step_back(put_off(self._store.slots))
                result = Deferred(push.version, push.hash, f"it is tried again when it can be stored: {error}")
            except (ContentError, BundleError) as error:
                result = self._given_up(push, f"its content is not what was signed: {error}")
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.exception("pushed bundle version %s", push.version)
                result = self._given_up(push, f"the agent failed over it: {error!r}")
            self._conclude(result, self._push_id)
            if not isinstance(result, Deferred):
                async with self._one_at_a_time:
                    await asyncio.to_thread(self._store.collect)
                return
            await asyncio.sleep(backoff.failed())

    async def _attempt(self, pushed: PushedBundle) -> Accepted | RolledBack | Deferred:
        push, incoming = pushed.push, self._store.slots.incoming
        assert incoming is not None  # noqa: S101 - offered before this task began
        config = self._service.in_force.config
        known = dict.fromkeys((self._service.in_force.bundle.path, config.bundle))
        directory = self._store.path(incoming.slot)
        await self._intake.bring_in(push, directory, tuple(known), lambda: self._condition_holds(pushed))
        await self._condition_holds(pushed)
        self._doing(push, "it is on trial")
        async with self._one_at_a_time, self._service.alone():
            tried = await self._trial.run(pushed, directory)
            if isinstance(tried, str):
                return self._given_up(push, tried)
            self._crash_loop = CrashLoop(self._clock())
            active = self._store.slots.active
            return Accepted(push.version, push.hash, tried.model, () if active is None else active.signed_by)

    async def _take_back(self, active: Placed, reason: str) -> None:
        """Take the accepted bundle back: the one accepted before it serves if it still can, else agent.yaml's."""
        async with self._one_at_a_time, self._service.alone():
            if self._store.slots.active != active:
                return
            self._store.step_back(take_back(self._store.slots, reason))
            path = self.path_for(self._service.in_force.config.bundle)
            try:
                bundle = await asyncio.to_thread(open_bundle, path)
            except (BundleError, OSError) as error:
                text = f"the bundle before it can't be opened: {error}; it serves on until the next start"
                self._emit(Event(EventKind.FAULT, text, source="way back"))
                return
            await self._trial.serve_again(bundle, None)
            then = f"{reason}; {bundle.model} ({bundle.sha256[:12]}...) serves again"
            self._conclude(RolledBack(active.version, active.digest, then), "")
            await asyncio.to_thread(self._store.collect)

    def _given_up(self, push: BundlePush, reason: str) -> RolledBack:
        told = shortened(reason, REASON_LIMIT)
        self._store.step_back(give_up(self._store.slots, told))
        return RolledBack(push.version, push.hash, told)

    def _drop(self, reason: str) -> None:
        """Give up what was coming in at a start."""
        incoming = self._store.slots.incoming
        if incoming is not None:
            self._store.step_back(give_up(self._store.slots, reason))
            self._conclude(RolledBack(incoming.version, incoming.digest, reason), "")
        self._store.collect()

    async def _condition_holds(self, pushed: PushedBundle) -> None:
        """Return once the condition of the push holds."""
        condition, push = pushed.condition, pushed.push
        if condition is None:
            return
        waits = waits_for(condition)
        if await until_it_holds(condition, self._snapshot, lambda: self._doing(push, waits)):
            self._doing(push, "it is taken in")

    def _doing(self, push: BundlePush, doing: str) -> None:
        """Say how far it is, if that is new."""
        told, push = self.progress.push, replace(push, push_id=self._push_id)
        if told is None or (told.reason, told.push_id) != (doing, push.push_id):
            self.progress = taken_in(self.progress, push, doing)

    def _tell_share(self, share: float) -> None:
        push, percent = self.progress.push, int(share * 10) * 10
        if push is not None and push.state == "trial" and push.percent != percent:
            self.progress = replace(self.progress, push=replace(push, percent=percent))

    def _tell_trouble(self, said: str) -> None:
        push = self.progress.push
        if push is not None and push.reason != said:
            self.progress = replace(self.progress, push=replace(push, reason=said))
            self._emit(Event(EventKind.FAULT, f"the pushed bundle does not come: {said}", source="content"))

    def _tell_start(self, first: FirstBundle) -> None:
        if self._store.damage:
            self._emit(Event(EventKind.FAULT, self._store.damage))
        for text in first.told:
            self._emit(Event(EventKind.BUNDLE, text))
        for placed, reason in first.given_up:
            self._conclude(RolledBack(placed.version, placed.digest, reason), "")
        if (stopped := self._store.stopped) is not None:
            self._conclude(RolledBack(stopped.version, stopped.digest, STOPPED), "")

    def _conclude(self, result: UpdateResult, push_id: str) -> None:
        """Remember a result for `reported`, and tell it; one that waits again for the same reason is told once."""
        at_s = int(self._latest_time.clock().timestamp())
        progress: BundleProgress = after(self.progress, result, push_id)
        self.progress = replace(progress, verdicts=remembered(progress.verdicts, result, at_s))
        event = event_of(result, BUNDLE)
        if event is not None and not (isinstance(result, Deferred) and event.text == self._told):
            self._told = event.text
            self._emit(event)


def _opened(payload: bytes) -> tuple[Envelope, BundlePush]:
    """The envelope and the bundle in it, whoever signed it. Raises EnvelopeError."""
    envelope = open_envelope(payload)
    return envelope, bundle_in(envelope)
