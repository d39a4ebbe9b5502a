"""Pushed policies: taken in on MQTT's thread, tried in the control loop, accepted or rolled back.

Order (DESIGN: MQTT): verify, persist the trusted version, validate, trial, verify health, accept. A push that
fails anywhere is refused or rolled back with its reason; the running policy stays.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as NoAnswerError
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from agent.documents import Document, DocumentError, parse
from agent.policy.board import Board
from agent.policy.points import check_points
from agent.policy.policy import Policy
from agent.policy.schema import load_policy
from agent.policy.store import PolicyStore, Verdict
from agent.supervisor.control import Control
from agent.supervisor.events import Event, EventKind
from agent.supervisor.keeper import WorkerDown, WorkerKeeper
from agent.telemetry.envelope import EnvelopeError, PolicyPush, open_envelope
from agent.telemetry.reported import PolicyState

HEALTH_DEADLINE_S = 30.0
"""A worker that answers nothing for this long under a policy on trial fails the trial."""
HAND_OVER_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """The policy in force and where it came from."""

    policy: Policy
    digest: str
    origin: Literal["local", "pushed"]


class Pushes:
    """`receive` is called on MQTT's thread and returns once the push is durable; all else is the loop's."""

    def __init__(
        self,
        *,
        store: PolicyStore,
        running: Running,
        control: Control,
        keeper: WorkerKeeper,
        allow_unsigned: bool,
        board: Board | None = None,
        below: Sequence[Document] = (),
        emit: Callable[[Event], None],
    ) -> None:
        self.running = running
        self.refused: PolicyState | None = None
        self.applied = 0
        self._store = store
        self._control = control
        self._keeper = keeper
        self._allow_unsigned = allow_unsigned
        self._board = board
        self._below = below
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._one_at_a_time = asyncio.Lock()
        self._trials: set[asyncio.Task[None]] = set()
        if store.recovered is not None:
            lost = store.recovered
            self._refuse(PolicyState(lost.version, lost.digest, "rolled_back", lost.reason))

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a pushed policy; raises when it could not be made durable, and is then handed it again."""
        taken = asyncio.run_coroutine_threadsafe(self._take(topic, payload), self._loop)
        try:
            taken.result(HAND_OVER_DEADLINE_S)
        except NoAnswerError:
            taken.cancel()
            raise

    async def _take(self, topic: str, payload: bytes) -> None:
        """Everything up to the durable write; the trial follows on its own, so that the broker gets its answer."""
        try:
            push = open_envelope(payload)
        except EnvelopeError as error:
            self._refuse(PolicyState(0, "", "refused", str(error)))
            return
        if (reason := self._objection(push, topic)) is not None:
            self._refuse(PolicyState(push.version, push.hash, "refused", reason))
            return
        async with self._one_at_a_time:
            offer = self._store.offer(push.policy, push.version, push.hash)
        if offer.verdict is Verdict.REFUSED:
            self._refuse(PolicyState(push.version, push.hash, "refused", offer.reason))
        elif offer.verdict is Verdict.NEW:
            trial = self._loop.create_task(self._try(push))
            self._trials.add(trial)
            trial.add_done_callback(self._trials.discard)

    def _objection(self, push: PolicyPush, topic: str) -> str | None:
        """Why the push is not to be trusted, None when it is."""
        if not push.signed and not self._allow_unsigned:
            return "it is not signed; set `allow_unsigned: true` in agent.yaml to trust whoever may publish there"
        if push.target.topic != topic:
            return f"it is addressed to {push.target.topic} and came on {topic}"
        if push.expires is not None and push.expires < datetime.now(UTC):
            return f"it expired at {push.expires.isoformat()}; push it again with a later expiry"
        return None

    async def _try(self, push: PolicyPush) -> None:
        """Validate, run under the policy, and keep it only when the worker still answers as it should."""
        async with self._one_at_a_time:
            policy = self._policy_in(push)
            if isinstance(policy, str):
                self._store.roll_back(policy)
                self._refuse(PolicyState(push.version, push.hash, "refused", policy))
                return
            self._store.begin_trial(push.policy)
            before = self.running
            self.running = Running(policy, push.hash, "pushed")
            await self._control.adopt(policy)
            if (ailment := await self._ailment()) is not None:
                self.running = before
                await self._control.adopt(before.policy)
                self._store.roll_back(ailment)
                self._refuse(PolicyState(push.version, push.hash, "rolled_back", ailment, policy.name))
                return
            self._store.accept()
            self.applied += 1
            self.refused = None
            text = f"{policy.name} version {policy.version} is in force"
            self._emit(Event(EventKind.POLICY, text, {"version": policy.version, "state": "accepted"}))

    async def _ailment(self) -> str | None:
        """What is wrong under the policy on trial, None when the worker followed it and answers."""
        try:
            async with asyncio.timeout(HEALTH_DEADLINE_S):
                await self._keeper.wait_ready()
                if not await self._control.step():
                    return "the worker did not follow it; the event before says why"
                await self._keeper.ping()
        except TimeoutError:
            return f"no worker was ready within {HEALTH_DEADLINE_S:.0f} s"
        except WorkerDown as error:
            return f"the worker stopped answering: {error}"
        return None

    def _refuse(self, state: PolicyState) -> None:
        self.refused = state
        how = state.state.replace("_", " ")
        text = f"pushed policy version {state.version} {how}: {state.reason}"
        self._emit(Event(EventKind.POLICY, text, {"version": state.version, "state": state.state}))

    def _policy_in(self, push: PolicyPush) -> Policy | str:
        """The policy of a push over the local one and the board's profile, or what is wrong with it.

        Points that it names must be on this device's ladder: a fleet's boards run different engines, and a policy
        that asks one for another's point would have it refuse all requests.
        """
        name = f"pushed policy version {push.version}"
        try:
            policy = load_policy(push.policy, name, self._board, self._below)
            check_points(parse(push.policy, name), policy, self._control.runnable)
        except DocumentError as error:
            return str(error)
        if policy.version != push.version:
            return f"its text says version {policy.version}, it was pushed as version {push.version}"
        return policy
