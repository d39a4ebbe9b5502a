"""What follows from a count: said, reported, points off the ladder, and back on it when they are shown again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.config import load_config
from tidegate.footage import kept
from tidegate.footage.kept import Queue, frame_path
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.own_certificate import CertifiedBundle, OwnCertificate
from tidegate.supervisor.recount import recounting
from tidegate.supervisor.recount.process import Counted, PointCount
from tidegate.supervisor.recount.record import FILE_NAME
from tidegate.supervisor.recount.recounting import Recounting
from tidegate.supervisor.worker.process import WorkerState
from tidegate.telemetry.payloads.reported import ReportedCertificate
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
ELSEWHERE = "onnx on cpu, onnxruntime 1.0, debian 1"
NAMES = BUNDLE.ladder.names[1:3]


@dataclass
class Device:
    """A worker and a control in one, as far as a count asks them."""

    engine: str = "onnx"
    refused: dict[str, str] = field(default_factory=dict)
    state: WorkerState = WorkerState.SERVING
    percent: float = 90.0

    @property
    def spec(self) -> "Device":
        return self

    async def wait_ready(self) -> None:
        """It is."""

    def snapshot(self) -> Snapshot:
        return Snapshot(1.0, {"battery": Reading(self.percent, Unit.PERCENT, 1.0, Provenance.MEASURED, "made up")})


class Scene:
    """One agent that goes by a certificate; `holds` is what the next counts say of each point."""

    def __init__(self, directory: Path, statement: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recounting, "SETTLED_S", 0.0)
        monkeypatch.setattr(recounting, "LOOK_S", 0.01)
        self.events: list[Event] = []
        self.device = Device()
        self.counts = 0
        self.holds: dict[str, bool | None] = dict.fromkeys(NAMES, True)
        file = directory / "agent.yaml"
        document = {"device": "gate-7", "bundle": str(BUNDLE.path), "policy": "p.yaml", "listen": {"tcp": 0}}
        file.write_text(yaml.safe_dump({**document, "state_dir": str(directory), "footage": {}}))
        own = OwnCertificate(directory / "camera.json", statement, "ab" * 32, ("yard",), ("cd",))
        report = ReportedCertificate("in_force", placement=statement.placement)
        certified = CertifiedBundle(BUNDLE, BUNDLE, "b+1", own, report)
        drift = DriftRecord(directory, "b+1", BUNDLE.ladder, self.events.append)
        self.in_force = InForce(load_config(file), BUNDLE, drift, certified)
        path = frame_path(directory / kept.DIRECTORY, Queue.SAMPLE, 1_800_000_000, 0.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.recounting = Recounting(
            directory,
            None,
            lambda: self.in_force,
            self.device,  # type: ignore[arg-type]
            self.device,  # type: ignore[arg-type]
            self.events.append,
            self._count,
        )

    async def _count(self, *_: object) -> Counted:
        self.counts += 1
        points = {name: PointCount(9, 0, holds) for name, holds in self.holds.items()}
        return Counted(engine="onnx", inputs=600, recent=0, newest_s=1_800_000_000, points=points)

    @property
    def recount(self) -> Any:
        report = self.recounting.report
        return None if report is None else report.recount

    async def until(self, holds: Callable[[], object]) -> None:
        """Let it look until that is so."""
        running = asyncio.create_task(self.recounting.run())
        try:
            async with asyncio.timeout(10):
                while not holds():  # noqa: ASYNC110 - it looks now and then, as the code under test does
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()


@pytest.fixture
def statement() -> Any:
    from tidegate.models.bundle.statement import Statement  # noqa: PLC0415 - a name for the fixture alone

    return Statement.model_validate(
        {
            "model": "digits",
            "bundle_sha256": BUNDLE.sha256,
            "data": "yard",
            "data_sha256": "0" * 64,
            "inputs": 600,
            "clip": 1,
            "labelled": 0,
            "delta": 0.05,
            "engines": ["onnx"],
            "placement": ELSEWHERE,
            "counted_at": "2027-01-01T00:00:00Z",
            "points": [
                {"name": name, "alpha": alpha, "risk": "newly_wrong", "n": 600, "failures": 0}
                for name, alpha in zip(("full", *NAMES), (0, 0.02, 0.02), strict=True)
            ],
        }
    )


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


def test_points_that_are_not_shown_again_go_and_come_back(
    tmp_path: Path, statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        agent = Scene(tmp_path, statement, monkeypatch)
        agent.in_force.drift.demote(NAMES[0], "disagreed too often")
        agent.holds = dict.fromkeys(NAMES, False)
        await agent.until((tmp_path / FILE_NAME).exists)
        assert agent.recount.state == "fails"
        assert agent.in_force.drift.demotions.keys() == set(NAMES)
        # What shadow runs took off is not a count's to give back.
        assert agent.recount.taken_off == (NAMES[1],)
        # A restart counts nothing again.
        again = Scene(tmp_path, statement, monkeypatch)
        assert again.recount == agent.recount
        await again.until(lambda: again.recounting._guarded_at_s is None)
        assert again.counts == 0
        again.recounting.ask()
        await again.until(lambda: again.recount is not None and again.recount.state == "holds")
        assert again.in_force.drift.demotions.keys() == {NAMES[0]}
        assert any("back on the ladder: it is shown again" in event.text for event in again.events)

    run(scene)


def test_the_former_runtime_gives_points_back(
    tmp_path: Path, statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        agent = Scene(tmp_path, statement, monkeypatch)
        agent.holds[NAMES[1]] = False
        await agent.until(lambda: agent.in_force.drift.demotions)
        monkeypatch.setattr(recounting, "placements_in_words", lambda _: ELSEWHERE)
        assert agent.recount is None
        await agent.until(lambda: not agent.in_force.drift.demotions)

    run(scene)


def test_it_waits_for_charge_and_says_so_once(
    tmp_path: Path, statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        agent = Scene(tmp_path, statement, monkeypatch)
        agent.device.percent = 20.0
        await agent.until(lambda: agent.recount is not None)
        assert (agent.recount.state, agent.counts) == ("waiting", 0)
        assert "on battery at 20 %" in agent.recount.reason
        agent.device.percent = 80.0
        await agent.until(lambda: agent.recount.state == "holds")
        assert len([event for event in agent.events if "waiting" in event.text]) == 1

    run(scene)


def test_without_frames_it_says_what_to_do(
    tmp_path: Path, statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        agent = Scene(tmp_path, statement, monkeypatch)
        kept.clear(tmp_path / kept.DIRECTORY)
        await agent.until(lambda: agent.recount is not None)
        assert (agent.recount.state, agent.counts) == ("unknown", 0)
        assert "count again by hand" in agent.recount.reason

    run(scene)


def test_a_count_that_fails_is_tried_again_later(
    tmp_path: Path, statement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        agent = Scene(tmp_path, statement, monkeypatch)

        async def broken(*_: object) -> Counted:
            agent.counts += 1
            return Counted(error="memory is short")

        agent.recounting._count_kept = broken
        await agent.until(lambda: agent.recount is not None and "memory is short" in agent.recount.reason)
        assert (agent.recount.state, agent.counts) == ("waiting", 1)

    run(scene)
