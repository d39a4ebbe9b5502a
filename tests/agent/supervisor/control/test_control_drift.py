"""The control loop books shadow runs, takes a drifted point off the ladder, and says so once."""

import asyncio
from dataclasses import replace
from pathlib import Path

from tidegate.messages import AdmissionState, Served, ShadowCount, Switched
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.policy.policy import DriftGuard, Policy
from tidegate.policy.readings import REQUEST_RATE
from tidegate.policy.schema import load_policy
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.worker.rest import Rest
from tidegate_drivers.reading import POWER_SOURCE, Provenance, Reading, Snapshot, Unit

LADDER = open_bundle(profiles_directory() / "bundles" / "digits").ladder
TEXT = "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 5 %\ndefault: {use: cheapest}\n"
TEXT += "drift_guard: {share: 2 %}\ndwell: {down: 0 s, up: 0 s}\n"


class Worker:
    """Follows every switch, and remembers what it was told."""

    def __init__(self) -> None:
        self.point = LADDER.full.name
        self.refused: dict[str, str] = {}
        self.held_point: str | None = None
        self.admissions: list[AdmissionState] = []

    def set_admission(self, state: AdmissionState) -> None:
        self.admissions.append(state)

    async def sleep(self, rest: Rest) -> None:
        raise AssertionError(f"put to sleep: {rest.reason}")

    def wake(self) -> None:
        """As the real one, which is awake."""

    async def switch(self, point: str) -> Switched:
        self.point = point
        return Switched(0, True, point, 0.0, 0.0, 1.0)


class Sensors:
    """On external power, always."""

    def snapshot(self) -> Snapshot:
        reading = Reading("external", Unit.NAME, 0.0, Provenance.MEASURED, "test")
        return Snapshot(0.0, {POWER_SOURCE: reading})


def served(*shadow: ShadowCount) -> Served:
    return Served(0, 2.0, 20, 0, 20, 1.0, 2.0, 0.0, 0, shadow=tuple(shadow))


def test_a_drifted_point_is_left_and_not_used_again(tmp_path: Path) -> None:
    worker, events = Worker(), list[Event]()
    policy: Policy = load_policy(TEXT, "p")
    assert policy.drift_guard == DriftGuard(0.02, 60.0)
    drift = DriftRecord(tmp_path, "b", LADDER, events.append)
    control = Control(
        ladder=LADDER,
        policy=policy,
        worker=worker,
        sensors=Sensors(),
        drift=drift,
        emit=events.append,
    )

    async def go() -> None:
        for _ in LADDER.points:
            await control.step()
        drifted = worker.point
        assert drifted != LADDER.full.name
        assert worker.admissions[-1].shadow_share == 0.02
        control.note_served(served(ShadowCount(drifted, 50, 1)))
        await control.step()
        assert worker.point == drifted
        control.note_served(served(ShadowCount(drifted, 100, 60)))
        control.note_served(served(ShadowCount(drifted, 100, 60), ShadowCount("gone", 9, 9)))
        await control.step()
        assert worker.point != drifted
        faults = [event for event in events if event.kind is EventKind.FAULT]
        assert [fault.text for fault in faults] == [
            f"{drifted} is demoted: it disagreed with the full model on 61 of 150, allowed are "
            + faults[0].text.rsplit("allowed are ")[1]
        ]

    asyncio.run(go())


def test_what_was_asked_becomes_readings_also_what_was_turned_away(tmp_path: Path) -> None:
    control = Control(
        ladder=LADDER,
        policy=load_policy(TEXT.replace("use: cheapest", "use: full") + "rules: []\n", "p"),
        worker=Worker(),
        sensors=Sensors(),
        drift=DriftRecord(tmp_path, "b", LADDER, lambda _: None),
        inputs=lambda: {"input/people": Reading(3.0, Unit.COUNT, 0.0, Provenance.ESTIMATED, "test")},
        emit=lambda _: None,
        clock=lambda: 0.0,
    )
    control.note_served(served())
    explanation = control.explanation({})
    assert explanation.point == LADDER.full.name
    assert control.snapshot().number(REQUEST_RATE) == 10.0
    assert control.snapshot().number("input/people") == 3.0
    control.note_served(replace(served(), turned_away=60))
    assert control.snapshot().number(REQUEST_RATE) == 40.0
