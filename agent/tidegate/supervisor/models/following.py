"""Has the models beside the main one follow the policy: to the point that goes with the main model's."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from tidegate.messages import ModelState, Switched
from tidegate.models.ladder import Ladder
from tidegate.policy.decision import ControlState, Decision
from tidegate.policy.follow import followed, under
from tidegate.policy.pace import Target, step
from tidegate.policy.policy import Policy
from tidegate.supervisor.control.control import QUARANTINE_S, Control
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.models.further_model import FurtherModel
from tidegate.supervisor.models.model_board import ModelBoard
from tidegate.supervisor.worker.channel import WorkerDown


class ModelsWorker(Protocol):
    """What following needs of a worker."""

    board: ModelBoard

    def tell_models(self) -> None:
        """Tell the worker which models there are, if it must know."""

    async def switch(self, point: str, model: str) -> Switched:
        """Move a further model to another point. Raises WorkerDown."""


class Following:
    """Belongs to the event loop; `step` it after the control's."""

    def __init__(
        self,
        control: Control,
        worker: ModelsWorker,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting = False
        """Whether a model is still on its way: time alone may bring it there any moment."""
        self._emit = emit
        self._control = control
        self._worker = worker
        self._clock = clock
        self._switched_at: dict[str, float] = {}
        self._quarantine: dict[tuple[str, str], tuple[float, int]] = {}
        self._policies: tuple[Policy, dict[float | None, Policy]] = (control.policy, {})
        self._switching: asyncio.Task[None] | None = None

    def step(self) -> None:
        """Have those switch that are not where they belong, and tell the worker which there are if it must know.

        Returns at once: the main model's next decision doesn't wait for others to be prepared.
        """
        decision = self._control.decision
        if decision is None or not self._worker.board.models:
            self.waiting = False
            return
        if self._switching is not None:
            if not self._switching.done():
                return
            self._switching.result()
        self._worker.tell_models()
        self.waiting = False
        moves = [move for model in self._worker.board.models if (move := self._move(model, decision)) is not None]
        self._switching = asyncio.create_task(self._switch_all(moves)) if moves else None

    def _move(self, model: FurtherModel, decision: Decision) -> tuple[FurtherModel, str, str] | None:
        """The model with the points that it goes from and to; None where it stays."""
        board, policy, ladder = self._worker.board, self._policy(model.max_accuracy_loss), self._usable(model)
        wanted = followed(decision, policy, self._control.ladder, ladder, self._control.held_at)
        state = board.states.get(model.name)
        if state is None or state.state is not ModelState.READY:
            board.aim(model.name, wanted)
            return None
        before = ControlState(state.point, self._switched_at.get(model.name))
        taken = step(Target(wanted, decision.urgent), policy, ladder, before, self._clock())
        board.aim(model.name, taken.point)
        self.waiting |= taken.point != wanted
        return None if taken.point == state.point else (model, state.point, taken.point)

    async def _switch_all(self, moves: list[tuple[FurtherModel, str, str]]) -> None:
        for model, before, point in moves:
            try:
                switched = await self._worker.switch(point, model.name)
            except WorkerDown:
                return  # the worker's end is reported; the next one begins there
            if switched.ok:
                self._switched_at[model.name] = self._clock()
                self._quarantine.pop((model.name, point), None)
            else:
                self._isolate(model.name, point)
            self._tell(model.name, before, point, switched)

    def _usable(self, model: FurtherModel) -> Ladder:
        """The model's ladder without points that its engine refuses or that failed their canaries lately."""
        state, now = self._worker.board.states.get(model.name), self._clock()
        refused = {} if state is None else state.refused
        points = model.bundle.ladder.points
        left = tuple(
            point
            for point in points[1:]
            if point.name not in refused and self._quarantine.get((model.name, point.name), (now, 0))[0] <= now
        )
        return Ladder((points[0], *left))

    def _policy(self, ceiling: float | None) -> Policy:
        # Made once for each: a policy gathers its conditions when it is made.
        if self._policies[0] is not self._control.policy:
            self._policies = (self._control.policy, {})
        policy, made = self._policies
        if ceiling not in made:
            made[ceiling] = under(policy, ceiling)
        return made[ceiling]

    def _isolate(self, model: str, point: str) -> None:
        _, failures = self._quarantine.get((model, point), (0.0, 0))
        self._quarantine[model, point] = (self._clock() + QUARANTINE_S * 2**failures, failures + 1)

    def _tell(self, model: str, before: str, point: str, switched: Switched) -> None:
        details: dict[str, object] = {
            "model": model,
            "from": before,
            "to": point,
            "prepare_ms": round(switched.prepare_ms, 3),
            "switch_ms": round(switched.switch_ms, 3),
            "canary_agreement": switched.canary_agreement,
        }
        if switched.ok:
            self._emit(Event(EventKind.SWITCH, f"{model}: {before} → {point}", details, source=model))
        else:
            text = f"{model} stays at {switched.point or before}: {switched.reason}"
            self._emit(Event(EventKind.ROLLBACK, text, details, source=model))
