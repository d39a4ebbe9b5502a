"""Certificates that come over MQTT: which are taken, what is said of others, and what is left where one fails."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tidegate.config import load_config, trusted_keys
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.statement import PAYLOAD_TYPE, Statement, statement_of
from tidegate.models.ladder import Certificate, Risk
from tidegate.paths import profiles_directory
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.own_certificate import PUSHED, certified
from tidegate.supervisor.pushed_certificate import PushedCertificates
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PrivateKey
from tidegate.trust.trusted_keys import TrustedKeys

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
KEY, STRANGER = PrivateKey.new(), PrivateKey.new()
TOPIC = "tidegate/gate-7/certificate"
HELD = {name: Certificate(Risk.NEWLY_WRONG, 0.02, 0.05, 600, 3, 21) for name in ("full", "int8")}


def statement(day: int = 2, device: str | None = "gate-7") -> Statement:
    return statement_of(
        BUNDLE,
        HELD,
        data="footage",
        data_sha256="ab" * 32,
        inputs=600,
        clip=1,
        labelled=21,
        delta=0.05,
        engines=("onnx",),
        placement="onnx on cpu",
        counted_at=datetime(2027, 2, day, tzinfo=UTC),
        device=device,
    )


def sealed(told: Statement, key: PrivateKey = KEY) -> bytes:
    return Envelope(PAYLOAD_TYPE, told.to_payload()).signed_by([key]).to_json()


@dataclass
class Keys:
    trusted: TrustedKeys


@dataclass
class Scene:
    """A device without a certificate; `problem` is what its policies say of a ladder."""

    directory: Path
    problem: str | None = None
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        key = {"name": "yard", "key": KEY.public.text, "roles": ["certificate"]}
        document = {"device": "gate-7", "bundle": str(BUNDLE.path), "policy": "p.yaml", "listen": {"tcp": 0}}
        file = self.directory / "agent.yaml"
        file.write_text(yaml.safe_dump({**document, "state_dir": str(self.directory), "trusted_keys": [key]}))
        self.config = load_config(file)

    @property
    def in_force(self) -> InForce:
        drift = DriftRecord(self.directory, BUNDLE.sha256, BUNDLE.ladder, self.events.append)
        return InForce(self.config, BUNDLE, drift, certified(BUNDLE, self.config))

    def pushed(
        self, *payloads: bytes, bring: Callable[[], Awaitable[None]] | None = None
    ) -> list[tuple[str, str]]:
        """State and refusal after each."""

        async def brought() -> None:
            """It is."""

        async def all_of_them() -> list[tuple[str, str]]:
            keys = Keys(trusted_keys(self.config))
            store = PushedCertificates(keys, lambda: self.in_force, lambda _: self.problem, self.events.append)  # type: ignore[arg-type]
            running = asyncio.create_task(store.run(bring or brought))
            found = []
            for payload in payloads:
                store.verdict = None
                await asyncio.to_thread(store.receive, TOPIC, payload)
                async with asyncio.timeout(10):
                    while store.verdict is None or store.verdict.state == "trial":  # noqa: ASYNC110 - a thread says it
                        await asyncio.sleep(0.001)
                found.append((store.verdict.state, store.verdict.refusal))
            running.cancel()
            return found

        return asyncio.run(all_of_them())


def test_what_is_taken_counts_and_an_earlier_count_does_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first, second = sealed(statement(2)), sealed(statement(3))
    assert scene.pushed(second, second, first) == [("accepted", ""), ("accepted", ""), ("refused", "downgrade")]
    found = certified(BUNDLE, scene.config)
    assert found.own is not None
    assert found.own.statement.counted_at.day == 3
    assert found.certificates == HELD
    assert "counted no later" in scene.events[-1].text


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (b"{}", "malformed"),
        (sealed(statement(), STRANGER), "unknown_key"),
        (sealed(statement(device=None)), "wrong_target"),
        (sealed(statement(device="gate-8")), "wrong_target"),
        (sealed(statement().model_copy(update={"bundle_sha256": "0" * 64})), "wrong_target"),
    ],
)
def test_what_is_not_for_this_device_by_somebody_trusted_is_refused(
    payload: bytes, refusal: str, tmp_path: Path
) -> None:
    scene = Scene(tmp_path)
    assert scene.pushed(payload) == [("refused", refusal)]
    assert not (tmp_path / PUSHED).exists()
    assert certified(BUNDLE, scene.config).own is None


def test_policies_that_could_not_run_over_it_keep_it_out(tmp_path: Path) -> None:
    scene = Scene(tmp_path, problem="policy.yaml:4: names skip-3, which nothing certifies")
    assert scene.pushed(sealed(statement())) == [("refused", "invalid")]
    assert "names skip-3" in scene.events[-1].text


def test_where_no_worker_gets_ready_with_it_the_one_before_stays(tmp_path: Path) -> None:
    async def fails() -> None:
        raise WorkerDown("no memory")

    scene = Scene(tmp_path)
    assert scene.pushed(sealed(statement(3)), bring=fails) == [("rolled_back", "")]
    assert not (tmp_path / PUSHED).exists()
    assert scene.pushed(sealed(statement(2))) == [("accepted", "")]
    kept = (tmp_path / PUSHED).read_bytes()
    assert scene.pushed(sealed(statement(3)), bring=fails) == [("rolled_back", "")]
    assert (tmp_path / PUSHED).read_bytes() == kept


def test_of_agent_yamls_and_the_pushed_one_the_later_counts(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (tmp_path / PUSHED).write_bytes(sealed(statement(3)))
    named = scene.config.model_copy(update={"certificate": tmp_path / "camera.json"})
    for day, expected in ((2, 3), (4, 4)):
        (tmp_path / "camera.json").write_bytes(sealed(statement(day)))
        own = certified(BUNDLE, named).own
        assert own is not None
        assert own.statement.counted_at.day == expected
    (tmp_path / "camera.json").write_bytes(sealed(statement(4, device="gate-8")))
    own = certified(BUNDLE, named).own
    assert own is not None
    assert own.statement.counted_at.day == 3
