"""Pushed policies: taken in on MQTT's thread, tried in the control loop, accepted or rolled back.

Order (DESIGN: MQTT): verify, validate, persist the trusted version, trial, verify health, accept. A push that
fails anywhere is refused or rolled back with its reason; the running policy stays. One that was accepted and whose
workers keep ending is rolled back as well.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as NoAnswerError
from typing import Literal

from tidegate.policy.policy import Policy
from tidegate.policy.store import PolicyStore, StoreError, Verdict, WrongStateError
from tidegate.shortened import shortened
from tidegate.supervisor.commands import BelieveClock, Done, SetTrusted, ShowTrust, Trust
from tidegate.supervisor.control import Control
from tidegate.supervisor.death_toll import DeathToll
from tidegate.supervisor.events import Event, EventKind
from tidegate.supervisor.keeper import WorkerDown, WorkerKeeper
from tidegate.supervisor.latest_time import LatestTime
from tidegate.supervisor.push_checks import PushChecks
from tidegate.supervisor.pushed_policy import REASON_LIMIT, First, Reader, Running
from tidegate.telemetry.backoff import Backoff
from tidegate.telemetry.envelope import EnvelopeError, PolicyPush, open_envelope
from tidegate.telemetry.reported import PolicyState

log = logging.getLogger(__name__)

HEALTH_DEADLINE_S = 30.0
"""A worker that answers nothing for this long under a policy on trial fails the trial."""
WORKER_DEADLINE_S = 15.0
"""How long a push waits for a worker, which knows what its engine can run; then it is handed over again later."""
HAND_OVER_DEADLINE_S = 25.0
"""MQTT's keep-alive goes on after this at the latest."""


class NotYetError(Exception):
    """A push that can't be judged now; the broker keeps it, and it is handed over again."""


class Pushes:
    """`receive` is called on MQTT's thread and returns once the push is durable; all else is the loop's."""

    def __init__(
        self,
        *,
        store: PolicyStore,
        first: First,
        reader: Reader,
        latest_time: LatestTime,
        control: Control,
        keeper: WorkerKeeper,
        allow_unsigned: bool,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.running = first.running
        self.state: Literal["accepted", "trial"] = "accepted"
        self.refused: PolicyState | None = None
        self.applied = 0
        self.verdicts = 0
        self._local = first.local
        self._store = store
        self._reader = reader
        self._latest_time = latest_time
        self._control = control
        self._keeper = keeper
        self._checks = PushChecks(reader, latest_time, allow_unsigned=allow_unsigned)
        self._emit = emit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._one_at_a_time = asyncio.Lock()
        self._trying: asyncio.Task[None] | None = None
        self._giving_up: asyncio.Task[None] | None = None
        self._toll = DeathToll(None)
        self._said_of_clock = ""
        self._tell_what_was_found(first)

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a pushed policy; raises when it could not be made durable, and is then handed it again."""
        taken = asyncio.run_coroutine_threadsafe(self._take(topic, payload), self._loop)
        try:
            taken.result(HAND_OVER_DEADLINE_S)
        except NoAnswerError:
            taken.cancel()
            raise NotYetError("it takes longer than MQTT can wait") from None

    def trust(self) -> Trust:
        """What is taken here, for the device's owner."""
        policy, times = self.running.policy, self._latest_time
        return Trust(
            self._store.trusted_version,
            f"{policy.name} version {policy.version} ({self.running.origin})",
            times.now().isoformat(timespec="seconds"),
            times.clock().isoformat(timespec="seconds"),
            times.problem,
        )

    async def do(self, command: ShowTrust | SetTrusted | BelieveClock) -> Done:
        """What the device's owner asks for."""
        try:
            if isinstance(command, SetTrusted):
                await self.set_trusted(command.version)
            elif isinstance(command, BelieveClock):
                await self.believe_clock()
        except (StoreError, WrongStateError, OSError) as error:
            return Done(refused=str(error))
        return Done(trust=self.trust())

    async def set_trusted(self, version: int) -> None:
        """Take pushes above `version` from now on. Raises StoreError, WrongStateError."""
        if self.state == "trial":
            raise WrongStateError("a policy is on trial; its verdict comes within a minute")
        before = self._store.trusted_version
        async with self._one_at_a_time:
            await asyncio.to_thread(self._store.set_trusted, version)
        text = f"the trusted version was set by hand from {before} to {version}"
        self._emit(Event(EventKind.POLICY, text, {"trusted": version, "before": before}))

    async def believe_clock(self) -> None:
        """Judge expiry by the clock as it is now. Raises OSError."""
        await asyncio.to_thread(self._latest_time.believe_clock)
        text = f"expiry is judged by the clock again, set by hand: {self._latest_time.clock().isoformat()}"
        self._emit(Event(EventKind.POLICY, text, {"latest_time": self._latest_time.now().timestamp()}))

    async def upkeep(self) -> None:
        """What is due now and then: the disk is tried again, the clock looked at."""
        if self._store.unsaved:
            await asyncio.to_thread(self._store.settle)
        await asyncio.to_thread(self._latest_time.note)
        problem = self._latest_time.problem
        if bool(problem) is not bool(self._said_of_clock):
            text = (
                problem or f"the clock is right again: {self._latest_time.clock().isoformat(timespec='minutes')}"
            )
            self._emit(Event(EventKind.FAULT, text, {"latest_time": self._latest_time.now().timestamp()}))
        self._said_of_clock = problem

    async def check_running(self) -> None:
        """Hold the pushed policy that an agent started with against what its engine, now known, can run."""
        stored, running = self._store.accepted, self.running
        if running.origin != "pushed" or stored is None or stored.digest != running.digest:
            return
        read = await asyncio.to_thread(self._reader.stored, stored)
        if isinstance(read, str):
            best = await asyncio.to_thread(self._best_stored)
            async with self._one_at_a_time:
                if self.running is running:
                    await self._run(best)
                    reason = (
                        f"it no longer runs here, {best.policy.name} version {best.policy.version} does: {read}"
                    )
                    state = PolicyState(stored.version, stored.digest, "rolled_back", reason, running.policy.name)
                    self._refuse(state)

    def worker_ended(self) -> None:
        """Count a worker that ended unasked; too many of them under a pushed policy and it is rolled back."""
        if self.running.origin != "pushed" or self.state == "trial":
            return
        reason = self._toll.note(self._clock())
        if reason and (self._giving_up is None or self._giving_up.done()):
            self._giving_up = self._loop.create_task(self._give_up(self.running, reason))

    async def _take(self, topic: str, payload: bytes) -> None:
        """Everything up to the durable write; the trial follows on its own, so that the broker gets its answer."""
        try:
            push = open_envelope(payload)
        except EnvelopeError as error:
            self._refuse(PolicyState(0, "", "refused", str(error)))
            return
        try:
            await self._judge(push, topic)
        except (StoreError, NotYetError) as error:
            self._delay(push, str(error))
            raise
        except Exception as error:
            # Whatever a push does to us, it is refused and the agent goes on.
            log.exception("pushed policy version %s", push.version)
            self._refuse(
                PolicyState(push.version, push.hash, "refused", f"it broke the agent's checks: {error!r}")
            )

    async def _judge(self, push: PolicyPush, topic: str) -> None:
        """Verify, validate, persist the trusted version; then the trial begins. A refusal changes nothing."""
        if (reason := self._checks.untrusted(push, topic)) is not None:
            self._refuse(PolicyState(push.version, push.hash, "refused", reason))
            return
        floor = self._local.policy.version
        offer = self._store.judge(push.version, push.hash, floor)
        if offer.verdict is Verdict.ALREADY_THERE:
            self._repeat(push)
            return
        reason = offer.reason if offer.verdict is Verdict.REFUSED else self._checks.expired(push)
        if reason is not None:
            self._refuse(PolicyState(push.version, push.hash, "refused", reason))
            return
        await self._worker_known()
        policy = await self._checks.read(push)
        if isinstance(policy, str):
            self._refuse(PolicyState(push.version, push.hash, "refused", policy))
            return
        async with self._one_at_a_time:
            offer = await asyncio.to_thread(self._store.offer, push.policy, push.version, push.hash, floor)
            if offer.verdict is Verdict.REFUSED:
                self._refuse(PolicyState(push.version, push.hash, "refused", offer.reason))
            elif offer.verdict is Verdict.NEW:
                if self._trying is not None:
                    self._trying.cancel()  # it waits for the disk; had it begun, the lock would be its
                self._trying = self._loop.create_task(self._try(push, policy))

    async def _worker_known(self) -> None:
        """Wait for a worker: what its engine can't run, no policy may name. Raises NotYetError."""
        try:
            async with asyncio.timeout(WORKER_DEADLINE_S):
                await self._keeper.wait_ready()
        except TimeoutError:
            raise NotYetError("no worker is ready; it is tried when one is") from None

    async def _try(self, push: PolicyPush, policy: Policy) -> None:
        """The trial; put off and begun again as long as the disk refuses to record it."""
        backoff = Backoff(base_s=2.0, cap_s=60.0)
        while True:
            async with self._one_at_a_time:
                if not self._store.offered(push.version, push.hash):
                    return
                try:
                    await self._trial(push, policy)
                except StoreError as error:
                    self._delay(
                        push, f"it is valid, and is tried again when it can be stored: {error}", policy.name
                    )
                else:
                    return
            await asyncio.sleep(backoff.failed())

    async def _trial(self, push: PolicyPush, policy: Policy) -> None:
        """Run under the policy, and keep it only when the worker still answers as it should. Raises StoreError."""
        await asyncio.to_thread(self._store.begin_trial, push.policy)
        before = self.running
        self.state, self.running = "trial", Running(policy, push.hash, "pushed")
        try:
            ailment = await self._ailment(policy)
            if ailment is None:
                await asyncio.to_thread(self._store.accept)
        except StoreError:
            await self._run(before)
            await asyncio.to_thread(self._store.put_off)
            raise
        except Exception as error:
            log.exception("trial of policy version %s", push.version)
            ailment = f"the agent failed under it: {error!r}"
        finally:
            self.state = "accepted"
        if ailment is not None:
            await self._run(before)
            await asyncio.to_thread(self._store.roll_back, ailment)
            self._refuse(PolicyState(push.version, push.hash, "rolled_back", ailment, policy.name))
            return
        self.applied += 1
        self.verdicts += 1
        self.refused = None
        self._toll = DeathToll(self._clock())
        text = f"{policy.name} version {policy.version} is in force"
        details: dict[str, object] = {"version": policy.version, "state": "accepted"}
        self._emit(Event(EventKind.POLICY, text, details, source="accepted"))

    async def _ailment(self, policy: Policy) -> str | None:
        """What is wrong under the policy on trial, None when it is adopted, the worker followed it and answers."""
        try:
            async with asyncio.timeout(HEALTH_DEADLINE_S):
                await self._keeper.wait_ready()
                if not await self._control.attempt(policy):
                    return "the worker did not follow it; the event before says why"
                await self._keeper.ping()
        except TimeoutError:
            return f"no worker was ready within {HEALTH_DEADLINE_S:.0f} s"
        except WorkerDown as error:
            return f"the worker stopped answering: {error}"
        return None

    async def _run(self, running: Running) -> None:
        """Decide by this policy from now on."""
        self.running = running
        self._toll = DeathToll(None)
        await self._control.adopt(running.policy)

    async def _give_up(self, running: Running, reason: str) -> None:
        """Take the accepted policy back: the one accepted before it runs if it still loads, else the local one."""
        async with self._one_at_a_time:
            stored = self._store.accepted
            if self.running is not running or stored is None or stored.digest != running.digest:
                return
            await asyncio.to_thread(self._store.take_back, reason)
            await self._run(await asyncio.to_thread(self._best_stored))
            then = f"{reason}; {self.running.policy.name} version {self.running.policy.version} runs again"
            self._refuse(PolicyState(stored.version, stored.digest, "rolled_back", then, running.policy.name))

    def _best_stored(self) -> Running:
        """The accepted policy, the one before it or the local one: the first that loads."""
        for stored in (self._store.accepted, self._store.previous):
            if stored is not None and stored.version >= self._local.policy.version:
                read = self._reader.stored(stored)
                if isinstance(read, Running):
                    return read
        return self._local

    def _repeat(self, push: PolicyPush) -> None:
        """Tell again what became of a policy that was pushed again."""
        self.verdicts += 1
        if (back := self._store.verdict(push.version, push.hash)) is not None:
            self.refused = PolicyState(push.version, push.hash, "rolled_back", back.reason)

    def _delay(self, push: PolicyPush, reason: str, name: str = "") -> None:
        """Report that a push has no verdict yet, and why."""
        self.refused = PolicyState(push.version, push.hash, "trial", shortened(reason, REASON_LIMIT), name)
        self.verdicts += 1
        text = f"pushed policy version {push.version} has to wait: {reason}"
        self._emit(Event(EventKind.FAULT, text, {"version": push.version}, source="push waits"))

    def _refuse(self, state: PolicyState) -> None:
        state = PolicyState(
            state.version, state.hash, state.state, shortened(state.reason, REASON_LIMIT), state.name
        )
        self.refused = state
        self.verdicts += 1
        how = state.state.replace("_", " ")
        text = f"pushed policy version {state.version} {how}: {state.reason}"
        details: dict[str, object] = {"version": state.version, "state": state.state}
        self._emit(Event(EventKind.POLICY, text, details, source=state.state))

    def _tell_what_was_found(self, first: First) -> None:
        """Report what of the stored policies does not run since this start."""
        if self._store.damage:
            self._refuse(PolicyState(0, "", "rolled_back", f"the accepted policy is lost: {self._store.damage}"))
        for state in first.given_up:
            self._refuse(state)
        if (lost := self._store.recovered) is not None:
            self._refuse(PolicyState(lost.version, lost.digest, "rolled_back", lost.reason))
