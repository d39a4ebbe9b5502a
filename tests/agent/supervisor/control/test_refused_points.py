"""Points that the worker's engine can't run: the next one that it can is taken, and the reason can be read."""

import asyncio
from dataclasses import replace
from pathlib import Path

from tidegate.messages import AdmissionState, Switched
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Ladder
from tidegate.paths import profiles_directory
from tidegate.policy.brown_out import LOSSES, Guard, Losses
from tidegate.policy.schema import load_policy
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.worker.rest import Rest
from tidegate_drivers.reading import Snapshot

SHIPPED = open_bundle(profiles_directory() / "bundles" / "digits").ladder
FULL, LOWER = SHIPPED.full, SHIPPED.points[1]
LADDER = Ladder((FULL, replace(LOWER, name="foreign", engine="litert"), replace(LOWER, name="own", engine="onnx")))
POLICY = "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 5 %\ndefault: {use: cheapest}\n"


class Worker:
    """A worker with an engine of its own, which would also refuse the switch itself."""

    def __init__(self, refused: dict[str, str]) -> None:
        self.point = LADDER.full.name
        self.refused = refused
        self.held_point: str | None = None
        self.asked: list[str] = []

    def set_admission(self, state: AdmissionState) -> None:
        """As the real one."""

    async def sleep(self, rest: Rest) -> None:
        raise AssertionError(f"put to sleep: {rest.reason}")

    def wake(self) -> None:
        """As the real one, which is awake."""

    async def switch(self, point: str) -> Switched:
        self.asked.append(point)
        self.point = point
        return Switched(0, True, point, 0.0, 0.0, 1.0)


class NoSensors:
    """Nothing is measured."""

    def snapshot(self) -> Snapshot:
        return Snapshot(0.0, {})


def control(worker: Worker, directory: Path, guard: Guard | None = None) -> Control:
    return Control(
        ladder=LADDER,
        policy=load_policy(POLICY, "p"),
        worker=worker,
        sensors=NoSensors(),
        drift=DriftRecord(directory, "b", LADDER, lambda _: None),
        emit=lambda _: None,
        guard=guard,
    )


def test_the_next_point_down_is_the_next_that_the_engine_runs(tmp_path: Path) -> None:
    worker = Worker({"foreign": "foreign: certified on engine litert, whose arithmetic is its own"})
    assert asyncio.run(control(worker, tmp_path).step())
    assert worker.asked == ["own"]


def test_without_a_refusal_it_would_have_been_the_other(tmp_path: Path) -> None:
    worker = Worker({})
    assert asyncio.run(control(worker, tmp_path).step())
    assert worker.asked == ["foreign"]


def test_the_explanation_says_why_a_point_is_off_the_ladder(tmp_path: Path) -> None:
    worker = Worker({"foreign": "foreign: certified on engine litert, whose arithmetic is its own"})
    running = control(worker, tmp_path)
    asyncio.run(running.step())
    assert any("certified on engine litert" in line for line in running.explanation({}).sentences)


def test_a_point_that_the_supply_fails_at_is_named_while_workers_are_held_at_another(tmp_path: Path) -> None:
    """Nothing works again because a worker is held."""
    worker = Worker({})
    running = control(worker, tmp_path, Guard({FULL.name: Losses(LOSSES)}))
    asyncio.run(running.step())
    before = running.put_off
    worker.held_point = "own"
    assert before is not None
    assert "full is put off" in before
    assert running.put_off == before
