"""Pushed policies: taken in on MQTT's thread, tried in the control loop, accepted or rolled back.

Order (DESIGN: MQTT): verify, validate, persist the trusted version, trial, verify health, accept. A push that
fails anywhere is rejected or rolled back with its reason; the running policy stays. An accepted one whose
workers keep ending is rolled back as well.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as NoAnswerError
from dataclasses import replace

from tidegate.documents import Document
from tidegate.models.ladder import Ladder
from tidegate.policy.policy import Policy
from tidegate.policy.push_condition import PushCondition
from tidegate.policy.store import PolicyStore, StoreError, WrongStateError
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.updates.crash_loop import CrashLoop
from tidegate.supervisor.updates.health import AskedWorker, PolicyControl, health_problem
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.outcome import (
    POLICY,
    Accepted,
    Deferred,
    Rejected,
    Repeated,
    RolledBack,
    UpdateResult,
    event_of,
)
from tidegate.supervisor.updates.push_condition import read_condition_of, until_it_holds, waits_for
from tidegate.supervisor.updates.push_reader import PushReader
from tidegate.supervisor.updates.pushed_policy import First, Reader, Running
from tidegate.supervisor.updates.screening import Known, refused_by_store, screen
from tidegate.supervisor.updates.state import UpdatesState, after, judged
from tidegate.supervisor.updates.verdicts import VerdictFile, remembered
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.payloads.envelope import (
    MAX_ENVELOPE_BYTES,
    EnvelopeError,
    PolicyPush,
    open_envelope,
    policy_in,
)
from tidegate.trust.dsse import Envelope
from tidegate.trust.ratchet import Verdict
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import NotSigned, Role, Signed
from tidegate_drivers.reading import Snapshot

log = logging.getLogger(__name__)

WORKER_DEADLINE_S = 15.0
"""How long a push waits for a worker, which knows what its engine can run; then it is handed over again later."""
HAND_OVER_DEADLINE_S = 25.0
"""MQTT's keep-alive goes on after this at the latest."""


_REMEDY_UNSIGNED = (
    "push it with --key FILE, or set `allow_unsigned: true` in agent.yaml to trust whoever may publish there"
)


class NotYetError(Exception):
    """A push that can't be judged now; the broker keeps it, and it is handed over again."""


class PolicyUpdates:
    """`receive` is called on MQTT's thread and returns once the push is durable; all else is the loop's."""

    def __init__(
        self,
        *,
        store: PolicyStore,
        first: First,
        reader: Reader,
        latest_time: LatestTime,
        control: PolicyControl,
        worker: AskedWorker,
        keys: KeyStore,
        allow_unsigned: bool,
        verdict_file: VerdictFile,
        snapshot: Callable[[], Snapshot],
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = UpdatesState(first.running, verdicts=verdict_file.read())
        self.local = first.local
        self._store = store
        self._reader = reader
        self._push_reader = PushReader(reader)
        self._latest_time = latest_time
        self._control = control
        self._worker = worker
        self._keys = keys
        self.allow_unsigned = allow_unsigned
        self._verdict_file = verdict_file
        self._snapshot = snapshot
        self._emit = emit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._one_at_a_time = asyncio.Lock()
        self._trying: asyncio.Task[None] | None = None
        self._health: asyncio.Task[str | None] | None = None
        self._overtaken_by = 0
        self._rolling_back: asyncio.Task[None] | None = None
        self._crash_loop = CrashLoop(None)
        self._clock_problem_told = ""
        for result in _found_at_start(store, first):
            self._conclude(result)

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a pushed policy; raises when it could not be made durable, and is then handed it again."""
        taken = asyncio.run_coroutine_threadsafe(self._take(topic, payload), self._loop)
        try:
            taken.result(HAND_OVER_DEADLINE_S)
        except NoAnswerError:
            taken.cancel()
            raise NotYetError("it takes longer than MQTT can wait") from None

    async def set_trusted(self, version: int) -> None:
        """Take pushes above `version` from now on. Raises StoreError, WrongStateError."""
        if self.state.on_trial:
            raise WrongStateError("a policy is on trial; its verdict comes within a minute")
        async with self._one_at_a_time:
            await asyncio.to_thread(self._store.set_trusted, version)

    async def take_local(self, local: Running, reader: Reader) -> Running:
        """Have another local policy, and read pushed ones over it with `reader`; gives the one in force then."""
        async with self._one_at_a_time:
            self.local, self._reader, self._push_reader = local, reader, PushReader(reader)
            before, best = self.state.running, await asyncio.to_thread(self._best_stored)
            if best != before:
                await self._run(best)
            stored = self._store.accepted
            if before.origin == "pushed" and best is local and stored is not None:
                if stored.version >= local.policy.version:
                    reason = f"it can't be read over the local policy any more; {local.policy.name} runs"
                else:
                    reason = f"the local policy has a higher version, {local.policy.version}"
                self._conclude(RolledBack(stored.version, stored.digest, reason, before.policy.name))
            return best

    def write_down(self) -> None:
        """What is due on the disk now and then; waits for it, and so belongs into a thread."""
        if self._store.unsaved:
            self._store.settle()
        self.keep_verdicts()
        self._latest_time.note()

    def tell_clock(self) -> None:
        """Say what is wrong with the clock when that changes."""
        problem = self._latest_time.problem
        if bool(problem) is not bool(self._clock_problem_told):
            text = (
                problem or f"the clock is right again: {self._latest_time.clock().isoformat(timespec='minutes')}"
            )
            self._emit(Event(EventKind.FAULT, text, {"latest_time": self._latest_time.now().timestamp()}))
        self._clock_problem_told = problem

    def problem_over(self, ladder: Ladder) -> str | None:
        """Why the policies of this device can't run over another ladder; None where they can. May take seconds."""
        reader = self._reader.over(ladder)
        if (problem := reader.problem_of_local()) is not None:
            return problem
        stored = self._store.accepted
        if self.state.running.origin == "local" or stored is None:
            return None
        read = reader.stored(stored)
        return read if isinstance(read, str) else None

    @property
    def local_document(self) -> Document:
        """The local policy as it was read."""
        return self._reader.document

    def keep_verdicts(self) -> None:
        """Write the last verdicts down, if there are new ones."""
        self._verdict_file.write(self.state.verdicts)

    async def check_running(self) -> None:
        """Hold the pushed policy that an agent started with against what its engine, now known, can run."""
        stored, running = self._store.accepted, self.state.running
        if running.origin != "pushed" or stored is None or stored.digest != running.digest:
            return
        read = await asyncio.to_thread(self._reader.stored, stored)
        if isinstance(read, str):
            best = await asyncio.to_thread(self._best_stored)
            async with self._one_at_a_time:
                if self.state.running is running:
                    await self._run(best)
                    reason = (
                        f"it no longer runs here, {best.policy.name} version {best.policy.version} does: {read}"
                    )
                    self._conclude(RolledBack(stored.version, stored.digest, reason, running.policy.name))

    def worker_ended(self) -> None:
        """Count a worker that ended unasked; too many of them under a pushed policy and it is rolled back."""
        if self.state.running.origin != "pushed" or self.state.on_trial:
            return
        reason = self._crash_loop.note(self._clock())
        if reason and (self._rolling_back is None or self._rolling_back.done()):
            self._rolling_back = self._loop.create_task(self._roll_back_accepted(self.state.running, reason))

    async def _take(self, topic: str, payload: bytes) -> None:
        """Everything up to the durable write; the trial follows on its own, so that the broker gets its answer."""
        try:
            # In a thread: 256 KiB of JSON take a small processor longer than a control step may be late.
            envelope, push = await asyncio.to_thread(_opened, payload)
        except EnvelopeError as error:
            kind = Refusal.TOO_LARGE if len(payload) > MAX_ENVELOPE_BYTES else Refusal.MALFORMED
            self._conclude(Rejected(0, "", str(error), kind))
            return
        try:
            result = await self._judge(envelope, push, topic)
        except (StoreError, NotYetError) as error:
            self.state = judged(self.state, push, is_new=False)
            self._conclude(Deferred(push.version, push.hash, str(error)))
            raise
        except Exception as error:
            # Whatever a push does to us, it is rejected and the agent goes on.
            log.exception("pushed policy version %s", push.version)
            reason = f"it broke the agent's checks: {error!r}"
            result = Rejected(push.version, push.hash, reason, Refusal.INVALID)
        self.state = judged(self.state, push, is_new=result is None)
        if result is not None:
            self._conclude(result)

    async def _judge(self, envelope: Envelope, push: PolicyPush, topic: str) -> Rejected | Repeated | None:
        """Verify, validate, persist the trusted version; None when its trial begins. Else nothing has changed."""
        signed = await asyncio.to_thread(self._keys.trusted.judge, envelope, Role.POLICY)
        if (result := screen(push, topic, self._known(push, signed))) is not None:
            return result
        await self._wait_for_worker()
        policy, condition = await self._push_reader.read(push), read_condition_of(push.when)
        if isinstance(policy, str):
            return Rejected(push.version, push.hash, policy, Refusal.INVALID)
        if isinstance(condition, str):
            return Rejected(push.version, push.hash, condition, Refusal.INVALID)
        self._overtake_trial(push.version)
        async with self._one_at_a_time:
            floor = self.local.policy.version
            offer = await asyncio.to_thread(self._store.offer, push.policy, push.version, push.hash, floor)
            if offer.verdict is Verdict.REFUSED:
                return refused_by_store(push, offer)
            if offer.verdict is Verdict.ALREADY_THERE:
                # Another push of it came in between.
                return Repeated(push.version, push.hash, self._why_taken_back(push))
            if self._trying is not None:
                self._trying.cancel()  # it waits for the disk; had it begun, the lock would be its
            self._trying = self._loop.create_task(self._try(push, policy, signed, condition))
        return None

    def _overtake_trial(self, version: int) -> None:
        """End the trial of an older policy: whoever pushed a newer one does not want its verdict any more."""
        trial = self._store.trial
        if trial is not None and self._health is not None and version > trial.version:
            self._overtaken_by = version
            self._health.cancel()

    def _known(self, push: PolicyPush, signed: Signed | NotSigned) -> Known:
        return Known(
            offer=self._store.judge(push.version, push.hash, self.local.policy.version),
            rolled_back=self._why_taken_back(push),
            now=self._latest_time.now(),
            clock_problem=self._latest_time.problem,
            signed=signed,
            allow_unsigned=self.allow_unsigned,
            remedy_unsigned=_REMEDY_UNSIGNED,
        )

    def _why_taken_back(self, push: PolicyPush) -> str | None:
        """Why the store took just this policy back; None: it did not."""
        taken_back = self._store.verdict(push.version, push.hash)
        return None if taken_back is None else taken_back.reason

    async def _wait_for_worker(self) -> None:
        """Return once a worker is there: what its engine can't run, no policy may name. Raises NotYetError."""
        try:
            async with asyncio.timeout(WORKER_DEADLINE_S):
                await self._worker.wait_ready()
        except TimeoutError:
            raise NotYetError("no worker is ready; it is tried when one is") from None

    async def _try(
        self, push: PolicyPush, policy: Policy, signed: Signed | NotSigned, condition: PushCondition | None
    ) -> None:
        """The trial, once its condition holds; put off and begun again while the disk refuses to record it."""
        if condition is not None:
            waits = Deferred(push.version, push.hash, waits_for(condition), policy.name)
            await until_it_holds(condition, self._snapshot, lambda: self._remember(waits))
        backoff = Backoff(base_s=2.0, cap_s=60.0)
        while True:
            async with self._one_at_a_time:
                if not self._store.offered(push.version, push.hash):
                    return
                try:
                    result: Accepted | RolledBack | Deferred = await self._trial(push, policy, signed)
                except StoreError as error:
                    reason = f"it is valid, and is tried again when it can be stored: {error}"
                    result = Deferred(push.version, push.hash, reason, policy.name)
                self._conclude(result)
            if not isinstance(result, Deferred):
                return
            await asyncio.sleep(backoff.failed())

    async def _trial(self, push: PolicyPush, policy: Policy, signed: Signed | NotSigned) -> Accepted | RolledBack:
        """Run under the policy, and keep it only when the worker still answers as it should. Raises StoreError."""
        signers = signed.by if isinstance(signed, Signed) else ()
        await asyncio.to_thread(self._store.begin_trial, push.policy, signers)
        before = self.state.running
        self.state = replace(self.state, running=Running(policy, push.hash, "pushed", signers), on_trial=True)
        try:
            self._health = self._loop.create_task(health_problem(policy, self._control, self._worker))
            problem = await self._health
            if problem is None:
                await asyncio.to_thread(self._store.accept)
        except asyncio.CancelledError:
            if not self._overtaken_by:
                raise
            problem = f"version {self._overtaken_by} was pushed before its verdict"
        except StoreError:
            await self._run(before)
            await asyncio.to_thread(self._store.put_off)
            raise
        except Exception as error:
            log.exception("trial of policy version %s", push.version)
            problem = f"the agent failed under it: {error!r}"
        finally:
            self.state = replace(self.state, on_trial=False)
            self._health, self._overtaken_by = None, 0
        if problem is not None:
            await self._run(before)
            await asyncio.to_thread(self._store.roll_back, problem)
            return RolledBack(push.version, push.hash, problem, policy.name)
        self._crash_loop = CrashLoop(self._clock())
        return Accepted(push.version, push.hash, policy.name, signers)

    async def _run(self, running: Running) -> None:
        """Decide by this policy from now on."""
        self.state = replace(self.state, running=running)
        self._crash_loop = CrashLoop(None)
        await self._control.adopt(running.policy)

    async def _roll_back_accepted(self, running: Running, reason: str) -> None:
        """Take the accepted policy back: the one accepted before it runs if it still loads, else the local one."""
        async with self._one_at_a_time:
            stored = self._store.accepted
            if self.state.running is not running or stored is None or stored.digest != running.digest:
                return
            await asyncio.to_thread(self._store.take_back, reason)
            best = await asyncio.to_thread(self._best_stored)
            await self._run(best)
            then = f"{reason}; {best.policy.name} version {best.policy.version} runs again"
            self._conclude(RolledBack(stored.version, stored.digest, then, running.policy.name))

    def _best_stored(self) -> Running:
        """The accepted policy, the one before it or the local one: the first that loads."""
        for stored in (self._store.accepted, self._store.previous):
            if stored is not None and stored.version >= self.local.policy.version:
                read = self._reader.stored(stored)
                if isinstance(read, Running):
                    return read
        return self.local

    def _conclude(self, result: UpdateResult) -> None:
        """Remember a result for `reported`, and tell it."""
        self._remember(result)
        if (event := event_of(result, POLICY)) is not None:
            self._emit(event)

    def _remember(self, result: UpdateResult) -> None:
        at_s = int(self._latest_time.clock().timestamp())
        self.state = replace(after(self.state, result), verdicts=remembered(self.state.verdicts, result, at_s))


def _opened(payload: bytes) -> tuple[Envelope, PolicyPush]:
    """The envelope and the policy in it, read before its signers are known: its pusher is to hear a verdict."""
    envelope = open_envelope(payload)
    return envelope, policy_in(envelope)


def _found_at_start(store: PolicyStore, first: First) -> list[RolledBack]:
    """What of the stored policies does not run since this start."""
    found = list(first.given_up)
    if store.damage:
        found.insert(0, RolledBack(0, "", f"the accepted policy is lost: {store.damage}"))
    if (lost := store.recovered) is not None:
        found.append(RolledBack(lost.version, lost.digest, lost.reason))
    return found
