"""Further models on their way: by the policy's dwell, past points that fail, and without holding the loop up."""

import asyncio
from dataclasses import replace
from pathlib import Path

from tidegate.messages import AdmissionState, FurtherModelState, ModelState, ModelStates, Switched
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.policy.schema import load_policy
from tidegate.supervisor.control.control import QUARANTINE_S, Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.models.following import Following
from tidegate.supervisor.models.further_model import FurtherModel
from tidegate.supervisor.models.model_board import ModelBoard
from tidegate.supervisor.worker.rest import Rest
from tidegate_drivers.reading import Snapshot

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
FULL, SECOND, THIRD = BUNDLE.ladder.names[:3]
POLICY = """\
tidegate: 1
name: p
version: 1
max_accuracy_loss: 5 %
default: {use: POINT}
dwell: {down: 5 s, up: 60 s}
"""


class Worker:
    """Answers switches as it is told to, and says where the model is by then."""

    def __init__(self) -> None:
        self.board = ModelBoard((FurtherModel("twin", BUNDLE, "onnx"),))
        self.point = FULL
        self.refused: dict[str, str] = {}
        self.held_point: str | None = None
        self.at = FULL
        self.fails: set[str] = set()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.tell()

    def tell(self) -> None:
        state = FurtherModelState("twin", BUNDLE.sha256, ModelState.READY, True, point=self.at, engine="onnx")
        self.board.take(ModelStates((state,)))

    def tell_models(self) -> None:
        """As the real one."""

    def set_admission(self, state: AdmissionState) -> None:
        """As the real one."""

    async def sleep(self, rest: Rest) -> None:
        raise AssertionError(f"put to sleep: {rest.reason}")

    def wake(self) -> None:
        """As the real one, which is awake."""

    async def switch(self, point: str, model: str | None = None) -> Switched:
        if model is None:
            self.point = point
            return Switched(0, True, point, 0.0, 0.0, 1.0)
        await self.may_answer.wait()
        if point in self.fails:
            return Switched(0, False, self.at, 0.0, 0.0, 0.5, f"{point} answered 50% of the canaries as recorded")
        self.at = point
        self.tell()
        return Switched(0, True, point, 1.0, 0.1, 1.0)


class NoSensors:
    """Nothing is measured."""

    def snapshot(self) -> Snapshot:
        return Snapshot(0.0, {})


class Scene:
    """A control that is at a point, and what follows it; `now` is the clock of the latter."""

    def __init__(self, directory: Path) -> None:
        self.worker, self.events, self.now = Worker(), list[Event](), 0.0
        self.control = Control(
            ladder=BUNDLE.ladder,
            policy=load_policy(POLICY.replace("POINT", FULL), "p"),
            worker=self.worker,
            sensors=NoSensors(),
            drift=DriftRecord(directory, "b", BUNDLE.ladder, lambda _: None),
            emit=lambda _: None,
        )
        self.following = Following(self.control, self.worker, self.events.append, lambda: self.now)

    async def put(self, point: str) -> None:
        """Have the main model be at a point from now on."""
        self.control.policy = load_policy(POLICY.replace("POINT", point), "p")
        await self.control.step()
        decision = self.control.decision
        assert decision is not None
        self.control.decision = replace(decision, point=point)

    async def follow(self) -> str:
        self.following.step()
        for _ in range(5):
            await asyncio.sleep(0)
        return self.worker.at


def test_it_goes_a_rung_at_a_time_with_the_dwell_of_the_policy(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        await scene.put(THIRD)
        assert await scene.follow() == SECOND
        assert scene.following.waiting
        assert await scene.follow() == SECOND, "a second switch waits for the dwell"
        scene.now = 5.0
        assert await scene.follow() == THIRD
        await scene.follow()
        assert not scene.following.waiting
        assert [each.text for each in scene.events] == [f"twin: {FULL} → {SECOND}", f"twin: {SECOND} → {THIRD}"]

    asyncio.run(run())


def test_a_point_that_fails_its_canaries_is_left_alone_for_a_while(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        scene.worker.fails = {SECOND}
        await scene.put(SECOND)
        assert await scene.follow() == FULL
        assert [(each.kind, each.text) for each in scene.events] == [
            (EventKind.ROLLBACK, f"twin stays at {FULL}: {SECOND} answered 50% of the canaries as recorded")
        ]
        scene.worker.fails = set()
        scene.now = QUARANTINE_S - 1
        assert await scene.follow() != SECOND
        scene.now = QUARANTINE_S + 70
        await scene.follow()
        assert await scene.follow() == SECOND

    asyncio.run(run())


def test_a_slow_switch_holds_nobody_up(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        scene.worker.may_answer.clear()
        await scene.put(SECOND)
        assert await scene.follow() == FULL
        assert await scene.follow() == FULL, "it is under way, and is asked for once"
        scene.worker.may_answer.set()
        assert await scene.follow() == SECOND
        assert len(scene.events) == 1

    asyncio.run(run())
