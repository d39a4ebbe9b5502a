"""A push at every stage: what it changes, what is reported, and that the next one finds its way."""

import asyncio
import base64
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidegate.documents import parse
from tidegate.messages import AdmissionState, Switched
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.policy.store import PolicyStore, digest_of
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.sockets.commands import BelieveClock, SetTrusted, ShowTrust
from tidegate.supervisor.updates import push_condition
from tidegate.supervisor.updates.crash_loop import IN_A_ROW_S, MOST_IN_A_ROW, MOST_WHILE_NEW, NEW_S
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.policy_updates import NotYetError, PolicyUpdates
from tidegate.supervisor.updates.pushed_policy import Reader, first_policy
from tidegate.supervisor.updates.trust import PolicyTrust
from tidegate.supervisor.updates.verdicts import VerdictFile
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.supervisor.worker.rest import Rest
from tidegate.telemetry.payloads.envelope import Target, seal
from tidegate.trust.keys import PrivateKey
from tidegate.trust.ratchet import MOST_AHEAD
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import TrustedKeys
from tidegate_drivers.reading import POWER_SOURCE, Provenance, Reading, Snapshot

LADDER = open_bundle(profiles_directory() / "bundles" / "digits").ladder
TOPIC = "tidegate/gate-7/policy"
LOCAL = "tidegate: 1\nname: local\nversion: 1\nmax_accuracy_loss: 5 %\ndwell: {down: 0 s, up: 0 s}\n"
NOW = datetime(2027, 6, 1, tzinfo=UTC)


def policy(version: int, more: str = "") -> str:
    return (
        LOCAL.replace("name: local", f"name: pushed-{version}").replace("version: 1", f"version: {version}") + more
    )


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Worker:
    """A worker that follows, answers and ends as it is told."""

    def __init__(self) -> None:
        self.point = LADDER.full.name
        self.refused: dict[str, str] = {}
        self.held_point: str | None = None
        self.follows = self.answers = self.ready = True
        self.broken: Exception | None = None

    async def wait_ready(self) -> None:
        await until(lambda: self.ready)

    def set_admission(self, state: AdmissionState) -> None:
        if self.broken is not None:
            raise self.broken

    async def sleep(self, rest: Rest) -> None:
        raise AssertionError(f"put to sleep: {rest.reason}")

    def wake(self) -> None:
        """As the real one, which is awake."""

    async def switch(self, point: str) -> Switched:
        self.point = point if self.follows else self.point
        return Switched(0, self.follows, self.point, 0.0, 0.0, 1.0)

    async def ping(self) -> None:
        if not self.answers:
            raise WorkerDown("no answer")


class Sensors:
    def snapshot(self) -> Snapshot:
        return Snapshot(time.monotonic(), {})


class Device:
    """The push path of one device over a directory that outlives it."""

    def __init__(self, directory: Path, *, unix_s: float | None = None) -> None:
        self.now = 1000.0
        self.readings: dict[str, Reading] = {}
        self.unix_s = NOW.timestamp() if unix_s is None else unix_s
        self.events: list[Event] = []
        self.worker = Worker()
        self.store = PolicyStore(directory)
        local = parse(LOCAL, "local.yaml")
        self.latest_time = LatestTime(directory, lambda: self.unix_s, lambda: self.now)
        first = first_policy(self.store, Reader(local, None, lambda: LADDER))
        self.control = Control(
            ladder=LADDER,
            policy=first.running.policy,
            worker=self.worker,
            sensors=Sensors(),
            drift=DriftRecord(directory, "b", LADDER, self.events.append),
            emit=self.events.append,
        )
        self.updates = PolicyUpdates(
            store=self.store,
            first=first,
            reader=Reader(local, None, lambda: self.control.runnable),
            latest_time=self.latest_time,
            control=self.control,
            worker=self.worker,
            keys=KeyStore(directory, TrustedKeys(), self.latest_time, self.events.append),
            allow_unsigned=True,
            verdict_file=VerdictFile(directory),
            snapshot=lambda: Snapshot(time.monotonic(), self.readings),
            emit=self.events.append,
            clock=lambda: self.now,
        )
        self.trust = PolicyTrust(self.store, self.latest_time, self.updates, self.events.append)

    async def push(
        self,
        text: str,
        version: int,
        *,
        expires: datetime | None = None,
        topic: str = TOPIC,
        to: str = "gate-7",
        push_id: str = "",
        keys: Sequence[PrivateKey] = (),
        when: str = "",
    ) -> str:
        """Push, wait for the verdict on it, and say what it is."""
        envelope = replace(
            seal(text, version, Target("device", to), expires, keys, when), push_id=push_id
        ).to_json()
        verdicts = self.updates.state.results
        await asyncio.to_thread(self.updates.receive, topic, envelope)
        await until(lambda: self.updates.state.results > verdicts and not self.updates.state.on_trial)
        return self.says(version)

    async def loses_its_worker(self) -> None:
        self.updates.worker_ended()
        rolling_back = self.updates._rolling_back
        if rolling_back is not None:
            await rolling_back

    def says(self, version: int) -> str:
        refused = self.updates.state.refused
        if refused is not None and refused.version == version:
            return refused.state
        return "accepted" if self.running == version else "nothing"

    @property
    def running(self) -> int:
        """The version by which is decided, in every place the same."""
        assert self.updates.state.running.policy is self.control.policy
        return self.control.policy.version


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(30):
            await scene()

    asyncio.run(in_time())


@contextmanager
def full_disk(number: int = 28) -> Iterator[None]:
    """Every write of a durable file fails as on a full or broken disk."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse(_: int) -> None:
            raise OSError(number, os.strerror(number))

        patch.setattr(os, "fsync", refuse)
        yield


def test_a_good_push_is_accepted_and_outlives_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        assert (device.running, device.store.trusted_version, device.updates.state.accepted) == (2, 2, 1)
        again = Device(tmp_path)
        assert (again.running, again.updates.state.running.origin, again.updates.state.refused) == (
            2,
            "pushed",
            None,
        )

    run(scene)


def test_every_verdict_names_the_push_that_it_answers(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)

        def named(version: int, text: str) -> str:
            return device.updates.state.push_id(version, digest_of(text))

        assert await device.push(policy(2), 2, push_id="a") == "accepted"
        assert named(2, policy(2)) == "a"
        assert await device.push(policy(2), 2, push_id="b") == "accepted"
        assert named(2, policy(2)) == "b"
        assert await device.push("a: [", 3, push_id="c") == "refused"
        assert (named(2, policy(2)), named(3, "a: [")) == ("b", "c")
        for _ in range(MOST_WHILE_NEW):
            await device.loses_its_worker()
        assert (device.says(2), named(2, policy(2))) == ("rolled_back", "b")
        assert await device.push(policy(2), 2, push_id="d") == "rolled_back"
        assert named(2, policy(2)) == "d"
        assert named(3, "a: [") == "", "of what is reported no more nothing is kept"

    run(scene)


def test_a_refusal_from_before_is_no_verdict_on_a_push_that_is_tried(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        device.updates.allow_unsigned = False
        assert await device.push(policy(2), 2, push_id="a") == "refused"
        device.updates.allow_unsigned = True
        envelope = replace(seal(policy(2), 2, Target("device", "gate-7")), push_id="b").to_json()
        await device.updates._take(TOPIC, envelope)
        state = device.updates.state
        assert (state.push_id(2, digest_of(policy(2))), state.refused) == ("b", None)
        await until(lambda: not device.updates.state.on_trial and device.says(2) == "accepted")

    run(scene)


TOO_FAR = MOST_AHEAD + 3
LARGEST = 2**53 - 1
# What is pushed (text, version, more), and a word of the reason.
REFUSED: dict[str, tuple[str, int, dict[str, object], str]] = {
    "no YAML": ("a: [", 3, {}, "is not closed"),
    "no policy": ("a: 1", LARGEST - MOST_AHEAD * 3, {}, "too far ahead"),
    "an unknown key": (policy(3, "defualt: {}\n"), 3, {}, "defualt"),
    "the merge key": (policy(3, "<<: {a: 1}\n"), 3, {}, "merge keys are not allowed"),
    "a point of no ladder": (policy(3, "default: {use: nowhere}\n"), 3, {}, "no such point"),
    "another version in its text": (policy(4), 3, {}, "its text says version 4"),
    "the largest version, invalid": ("a: 1", LARGEST, {}, "too far ahead"),
    "the largest version, valid": (policy(LARGEST), LARGEST, {}, "too far ahead"),
    "a version from far ahead": (policy(TOO_FAR), TOO_FAR, {}, "too far ahead"),
    "an older version": (policy(1), 1, {}, "older than the trusted version 2"),
    "the same version, another text": (policy(2, "# \n"), 2, {}, "already trusted with another text"),
    "the time over": (policy(3), 3, {"expires": NOW - timedelta(seconds=1)}, "it expired at"),
    "on another topic": (policy(3), 3, {"topic": "tidegate/fleet/policy"}, "it is addressed to"),
    "to another device": (policy(3), 3, {"to": "gate-8"}, "it is addressed to"),
    "a YAML bomb": (policy(3, "x: &a [1, 1]\ny: [*a, *a, *a]\n"), 3, {}, "anchors and aliases are not allowed"),
    "a key twice": (policy(3, "name: again\n"), 3, {}, "duplicate key"),
    "deep": (policy(3, "rules: " + "[" * 30_000), 3, {}, "nested deeper"),
    "control characters": (policy(3, "x: \x07"), 3, {}, "does not allow"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_push_refused_at_any_stage_is_reported_and_leaves_no_trace(tmp_path: Path, what: str) -> None:
    text, version, more, word = REFUSED[what]

    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        before, verdicts = (tmp_path / "policies.json").read_bytes(), device.updates.state.results
        assert await device.push(text, version, **more) == "refused"  # type: ignore[arg-type]
        assert device.updates.state.refused is not None
        assert word in device.updates.state.refused.reason
        assert device.events[-1].text.endswith(device.updates.state.refused.reason)
        assert await device.push(text, version, **more) == "refused"  # type: ignore[arg-type]
        assert device.updates.state.results == verdicts + 2, "the same push again gets its answer again"
        assert (tmp_path / "policies.json").read_bytes() == before
        assert device.running == 2
        assert await device.push(policy(3), 3) == "accepted"

    run(scene)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"{}", b"[" * 100_000, b"7", b'{"payloadType": 1}', b"x" * 300_000]
    + [
        json.dumps(
            {
                "payloadType": "application/vnd.tidegate.policy+json",
                "payload": base64.b64encode(inner).decode(),
                "signatures": [],
            }
        ).encode()
        for inner in (
            b"",
            b"\x00",
            b"{" * 50_000,
            b'{"policy": "x", "version": 1e400, "target": {"fleet": true}, "expires": null}',
            b'{"policy": "x", "version": 3, "target": {"fleet": true}, "expires": "9999-12-31T23:59:59-23:59"}',
            b'{"policy": "\\ud800", "version": 3, "target": {"device": "gate-7"}, "expires": null}',
            b'{"policy": "x", "version": 3, "target": {"device": "#"}, "expires": null}',
        )
    ],
)
def test_no_bytes_on_the_topic_cost_anything(tmp_path: Path, payload: bytes) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        await asyncio.to_thread(device.updates.receive, TOPIC, payload)
        assert device.updates.state.refused is not None
        assert device.updates.state.refused.state == "refused"
        assert (device.running, device.store.trusted_version) == (1, 0)
        assert await device.push(policy(2), 2) == "accepted"

    run(scene)


def test_whatever_breaks_in_the_checks_is_reported_as_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        device = Device(tmp_path)

        def broken(*_: object) -> None:
            raise RecursionError("too deep")

        with monkeypatch.context() as patch:
            patch.setattr(Reader, "pushed", broken)
            assert await device.push(policy(2), 2) == "refused"
        assert "RecursionError" in (device.updates.state.refused.reason if device.updates.state.refused else "")
        assert device.store.trusted_version == 0
        assert await device.push(policy(2), 2) == "accepted"

    run(scene)


HARM: dict[str, Callable[[Worker], None]] = {
    "does not follow": lambda worker: setattr(worker, "follows", False),
    "stopped answering": lambda worker: setattr(worker, "answers", False),
    "failed under it": lambda worker: setattr(worker, "broken", ValueError("policy")),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_policy_that_harms_is_rolled_back_and_not_tried_again(tmp_path: Path, harm: str) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        HARM[harm](device.worker)
        harmful = policy(3, "default: {use: cheapest}\n")
        assert await device.push(harmful, 3) == "rolled_back"
        assert (device.running, device.updates.state.on_trial, device.store.accepted.version) == (2, False, 2)  # type: ignore[union-attr]
        device.worker.follows, device.worker.answers, device.worker.broken = True, True, None
        assert await device.push(harmful, 3) == "rolled_back", "its answer comes again, its trial does not"
        assert device.running == 2
        assert await device.push(policy(4), 4) == "accepted"

    run(scene)


def test_reported_says_trial_while_it_is_one(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        going_on = asyncio.Event()
        states = []

        async def ping() -> None:
            states.append((device.updates.state.on_trial, device.updates.state.running.policy.version))
            await going_on.wait()

        device.worker.ping = ping  # type: ignore[method-assign]
        await asyncio.to_thread(
            device.updates.receive, TOPIC, seal(policy(2), 2, Target("device", "gate-7")).to_json()
        )
        await until(lambda: bool(states))
        assert states == [(True, 2)]
        assert "on trial" in (await device.trust.do(SetTrusted(0))).refused
        going_on.set()
        await until(lambda: not device.updates.state.on_trial)
        assert (device.updates.state.on_trial, device.running) == (False, 2)

    run(scene)


def test_the_highest_version_counts_wherever_it_was_pushed_to(tmp_path: Path) -> None:
    """Neither device nor group nor fleet takes precedence over another."""
    targets = {"device": Target("device", "gate-7"), "group": Target("group", "barn"), "fleet": Target("fleet")}

    async def scene() -> None:
        device = Device(tmp_path)

        async def push(kind: str, version: int) -> str:
            results, target = device.updates.state.results, targets[kind]
            envelope = seal(policy(version), version, target).to_json()
            await asyncio.to_thread(device.updates.receive, target.topic, envelope)
            await until(lambda: device.updates.state.results > results and not device.updates.state.on_trial)
            return device.says(version)

        for step, (first, then) in enumerate(itertools.product(targets, repeat=2), start=1):
            newest = 10 * step
            assert await push(first, newest) == "accepted"
            assert await push(then, newest - 1) == "refused", (first, then)
            assert device.running == newest
            assert await push(then, newest + 1) == "accepted", (first, then)

    run(scene)


def test_a_newer_push_overtakes_a_trial(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        asked = asyncio.Event()

        async def silent() -> None:
            asked.set()
            await asyncio.Event().wait()

        answers, device.worker.ping = device.worker.ping, silent  # type: ignore[method-assign]
        envelope = seal(policy(3), 3, Target("device", "gate-7")).to_json()
        await asyncio.to_thread(device.updates.receive, TOPIC, envelope)
        await asked.wait()
        assert (device.updates.state.on_trial, device.running) == (True, 3)

        wrong = seal("a: [", 4, Target("device", "gate-7")).to_json()
        await asyncio.to_thread(device.updates.receive, TOPIC, wrong)
        assert (device.says(4), device.running) == ("refused", 3), "what is refused overtakes nothing"
        device.worker.ping = answers  # type: ignore[method-assign]
        await device.push(policy(5), 5)
        await until(lambda: device.updates.state.accepted == 2)
        assert (device.running, device.store.trusted_version) == (5, 5)
        told = [event.text for event in device.events]
        assert "pushed policy version 3 rolled back: version 5 was pushed before its verdict" in told
        assert device.store.previous is not None
        assert device.store.previous.version == 2, "the way back is to the one that was accepted"

    run(scene)


def test_the_last_verdicts_outlive_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        for _ in range(3):
            assert await device.push(policy(1), 1) == "refused"
        device.updates.write_down()
        device.updates.tell_clock()
        device.updates.keep_verdicts()
        first, second = Device(tmp_path).updates.state.verdicts
        assert (first.version, first.state, first.refusal, first.count) == (1, "refused", "downgrade", 3)
        assert (second.version, second.state, second.at_s) == (2, "accepted", int(NOW.timestamp()))

    run(scene)


def test_a_push_waits_for_a_worker_without_which_nothing_is_known_of_its_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.supervisor.updates.policy_updates.WORKER_DEADLINE_S", 0.05)

    async def scene() -> None:
        device = Device(tmp_path)
        device.worker.ready = False
        with pytest.raises(NotYetError, match="no worker is ready"):
            await device.push(policy(2), 2)
        assert (device.says(2), device.store.trusted_version) == ("trial", 0)
        device.worker.ready = True
        assert await device.push(policy(2), 2) == "accepted"

    run(scene)


def test_a_text_that_takes_longer_to_read_than_mqtt_waits_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.supervisor.updates.policy_updates.HAND_OVER_DEADLINE_S", 0.1)
    real, reads = Reader.pushed, list[int]()

    def slow(reader: Reader, text: str, name: str, version: int) -> object:
        reads.append(version)
        time.sleep(0.5)
        return real(reader, text, name, version)

    monkeypatch.setattr(Reader, "pushed", slow)

    async def scene() -> None:
        device = Device(tmp_path)
        for _ in range(3):
            with pytest.raises(NotYetError):
                await device.push(policy(2), 2)
        monkeypatch.setattr("tidegate.supervisor.updates.policy_updates.HAND_OVER_DEADLINE_S", 20.0)
        assert await device.push(policy(2), 2) == "accepted"
        assert reads == [2]

    run(scene)


@pytest.mark.parametrize("number", [28, 5])
def test_a_disk_that_refuses_at_first_makes_the_broker_keep_the_push(tmp_path: Path, number: int) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        with full_disk(number), pytest.raises(Exception, match=os.strerror(number)):
            await device.push(policy(2), 2)
        assert (device.running, device.store.trusted_version) == (1, 0)
        assert "has to wait" in device.events[-1].text
        assert device.says(2) == "trial"
        assert await device.push(policy(2), 2) == "accepted"

    run(scene)


@pytest.mark.parametrize("step", ["begin_trial", "accept", "roll_back"])
@pytest.mark.parametrize("number", [28, 5])
def test_a_disk_that_refuses_during_a_trial_shuts_no_push_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    # No attempt of its own comes in between.
    monkeypatch.setattr("tidegate.telemetry.link.backoff.Backoff.failed", lambda _self, _held_s=0.0: 60.0)

    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        device.worker.answers = step != "roll_back"
        real, refusing = getattr(PolicyStore, step), True

        def refused(*arguments: object) -> object:
            if not refusing:
                return real(*arguments)
            with full_disk(number):
                return real(*arguments)

        monkeypatch.setattr(PolicyStore, step, refused)
        assert await device.push(policy(3), 3) == ("rolled_back" if step == "roll_back" else "trial")
        assert (device.running, device.updates.state.on_trial) == (2, False)
        assert (tmp_path / "policies.json").exists()
        refusing, device.worker.answers = False, True
        device.updates.write_down()
        device.updates.tell_clock()
        assert not device.store.unsaved
        assert await device.push(policy(4), 4) == "accepted"
        assert PolicyStore(tmp_path).accepted.version == 4  # type: ignore[union-attr]

    run(scene)


def test_a_policy_that_could_not_be_stored_is_tried_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.telemetry.link.backoff.Backoff.failed", lambda _self, _held_s=0.0: 0.05)

    async def scene() -> None:
        device = Device(tmp_path)
        real, fails = PolicyStore.accept, [True, True]

        def accept(store: PolicyStore) -> object:
            if not fails:
                return real(store)
            fails.pop()
            with full_disk():
                return real(store)

        monkeypatch.setattr(PolicyStore, "accept", accept)
        assert await device.push(policy(2), 2) == "trial"
        assert "tried again when it can be stored" in device.updates.state.refused.reason  # type: ignore[union-attr]
        await until(lambda: device.updates.state.accepted == 1)
        assert device.running == 2
        assert device.updates.state.refused is None
        assert PolicyStore(tmp_path).accepted.version == 2  # type: ignore[union-attr]

    run(scene)


@pytest.mark.parametrize(
    ("deaths", "pause_s", "age_s", "rolled_back"),
    [
        (MOST_WHILE_NEW - 1, 1.0, 0.0, False),
        (MOST_WHILE_NEW, 1.0, 0.0, True),
        (MOST_WHILE_NEW, NEW_S / 2, 0.0, False),
        (MOST_IN_A_ROW - 1, 1.0, 2 * NEW_S, False),
        (MOST_IN_A_ROW, 1.0, 2 * NEW_S, True),
        (3 * MOST_IN_A_ROW, IN_A_ROW_S / 2, 2 * NEW_S, False),
    ],
)
def test_a_policy_whose_workers_keep_ending_gives_way_to_the_one_before(
    tmp_path: Path, deaths: int, pause_s: float, age_s: float, rolled_back: bool
) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        assert await device.push(policy(3), 3) == "accepted"
        device.now += age_s
        for _ in range(deaths):
            device.now += pause_s
            await device.loses_its_worker()
        assert device.running == (2 if rolled_back else 3)
        if rolled_back:
            refused = device.updates.state.refused
            assert refused is not None
            assert (refused.version, refused.state) == (3, "rolled_back")
            assert f"{deaths} workers ended within" in refused.reason
            assert "pushed-2 version 2 runs again" in refused.reason
            assert await device.push(policy(3), 3) == "rolled_back", "the same policy is not tried again"
            for _ in range(MOST_IN_A_ROW):
                device.now += 1
                await device.loses_its_worker()
            assert device.running == 1, "after the one before it, the local one"
            for _ in range(9):
                device.updates.worker_ended()
            assert (device.running, Device(tmp_path).running) == (1, 1)
            assert await device.push(policy(4), 4) == "accepted"

    run(scene)


# What is wrong with the accepted policy by the next start.
SPOILT: dict[str, Callable[[str], str]] = {
    "an unknown key": lambda text: text + "nonsense: 1\n",
    "a point that is gone": lambda text: text + "default: {use: gone}\n",
    "another version": lambda text: text.replace("version: 3", "version: 4"),
    "no YAML": lambda text: text + "a: [\n",
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_stored_policy_that_no_longer_loads_gives_way_and_is_reported(tmp_path: Path, spoil: str) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(2), 2) == "accepted"
        assert await device.push(policy(3), 3) == "accepted"
        path = tmp_path / "policies.json"
        state = json.loads(path.read_text())
        for name, left in (("accepted", 2), ("previous", 1)):
            state[name]["text"] = SPOILT[spoil](state[name]["text"]).replace("version: 2", "version: 7")
            state[name]["digest"] = digest_of(state[name]["text"])
            path.write_text(json.dumps(state))
            again = Device(tmp_path)
            assert again.running == left
            assert again.updates.state.refused is not None
            assert again.updates.state.refused.state == "rolled_back"
            assert any("no longer loads" in event.text for event in again.events)
        assert await again.push(policy(5), 5) == "accepted"

    run(scene)


def test_a_damaged_store_is_reported_and_the_local_policy_runs(tmp_path: Path) -> None:
    async def scene() -> None:
        assert await Device(tmp_path).push(policy(2), 2) == "accepted"
        (tmp_path / "policies.json").write_text("{")
        device = Device(tmp_path)
        assert (device.running, device.updates.state.running.origin) == (1, "local")
        assert device.updates.state.refused is not None
        assert "kept as policies.json.damaged-1" in device.updates.state.refused.reason
        assert await device.push(policy(2), 2) == "accepted"

    run(scene)


def test_a_point_that_the_engine_turns_out_to_refuse_costs_the_stored_policy_its_place(tmp_path: Path) -> None:
    point = LADDER.points[-1].name

    async def scene() -> None:
        assert await Device(tmp_path).push(policy(2, f"default: {{use: {point}}}\n"), 2) == "accepted"
        device = Device(tmp_path)
        await device.updates.check_running()
        assert device.running == 2
        device.worker.refused = {point: "another engine's"}
        await device.updates.check_running()
        assert device.running == 1
        assert device.says(2) == "rolled_back"

    run(scene)


@pytest.mark.parametrize("clock", [0.0, NOW.timestamp() - 86_400 * 30, NOW.timestamp() + 60])
def test_what_has_expired_stays_so_when_the_clock_goes_back(tmp_path: Path, clock: float) -> None:
    async def scene() -> None:
        Device(tmp_path)
        device = Device(tmp_path, unix_s=clock)
        gone = NOW - timedelta(minutes=2)
        assert await device.push(policy(2), 2, expires=gone) == "refused"
        assert "it expired at 2027-05-31T23:58" in device.updates.state.refused.reason  # type: ignore[union-attr]
        assert ("the clock says" in device.updates.state.refused.reason) is (clock < NOW.timestamp())  # type: ignore[union-attr]
        assert await device.push(policy(2), 2, expires=NOW + timedelta(days=1)) == "accepted"
        device.unix_s = 0.0
        assert await device.push(policy(3), 3, expires=gone) == "refused"
        assert device.store.trusted_version == 2

    run(scene)


def test_an_accepted_policy_comes_again_after_its_time_without_being_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        expires = NOW + timedelta(hours=1)
        assert await device.push(policy(2), 2, expires=expires) == "accepted"
        device.unix_s += 7200
        assert await device.push(policy(2), 2, expires=expires) == "accepted"
        assert device.updates.state.refused is None

    run(scene)


def test_a_device_that_wakes_in_1970_keeps_its_policy_and_its_time(tmp_path: Path) -> None:
    async def scene() -> None:
        assert await Device(tmp_path).push(policy(2), 2, expires=NOW + timedelta(days=1)) == "accepted"
        device = Device(tmp_path, unix_s=0.0)
        assert (device.running, device.updates.state.refused) == (2, None)
        stale = NOW - timedelta(days=1)
        assert await device.push(policy(3), 3, expires=stale) == "refused"
        device.unix_s = (NOW + timedelta(days=2)).timestamp()
        assert await device.push(policy(3), 3, expires=stale) == "refused"
        assert device.updates.state.refusals == {Refusal.EXPIRED: 2}
        assert device.running == 2, "what was accepted in time stays"
        assert await device.push(policy(4), 4, expires=NOW + timedelta(days=3)) == "accepted"

    run(scene)


def test_the_owner_sees_and_sets_the_trusted_version_and_the_time(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(policy(900_000_000), 900_000_000) == "accepted"
        assert await device.push(policy(3), 3) == "refused"
        done = await device.trust.do(SetTrusted(2))
        assert (done.refused, done.trust.version) == ("", 2)  # type: ignore[union-attr]
        assert device.events[-1].text == "the trusted version was set by hand from 900000000 to 2"
        assert device.running == 900_000_000
        assert await device.push(policy(3), 3) == "accepted"
        assert "allowed are 0 to" in (await device.trust.do(SetTrusted(2**60))).refused
        device.unix_s += 86_400 * 365
        assert await device.push(policy(4), 4, expires=NOW + timedelta(days=1)) == "refused"
        device.unix_s -= 86_400 * 365
        assert await device.push(policy(4), 4, expires=NOW + timedelta(days=1)) == "refused"
        assert "--believe-clock" in (await device.trust.do(ShowTrust())).trust.problem  # type: ignore[union-attr]
        assert (await device.trust.do(BelieveClock())).trust.problem == ""  # type: ignore[union-attr]
        assert await device.push(policy(4), 4, expires=NOW + timedelta(days=1)) == "accepted"

    run(scene)


def test_a_policy_is_tried_when_its_condition_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_condition, "LOOK_EVERY_S", 0.01)

    async def scenario() -> None:
        device = Device(tmp_path)
        await device.push(policy(5), 5, when="{power_source: external}")
        refused = device.updates.state.refused
        assert refused is not None
        assert (refused.version, refused.state) == (5, "trial")
        assert refused.reason == "it waits for {power_source: external}"
        assert device.control.policy.version == 1
        assert not [event for event in device.events if event.kind == "fault"], "waiting is no fault"
        at = time.monotonic()
        device.readings[POWER_SOURCE] = Reading("external", "", at, Provenance.MEASURED, "test", 1000.0)
        await until(lambda: device.control.policy.version == 5 and not device.updates.state.on_trial)
        assert device.updates.state.refused is None
        device.readings.clear()
        await device.push(policy(6), 6, when="{power_source: external}")
        await device.push(policy(7), 7)
        await until(lambda: device.control.policy.version == 7)
        await device.push(policy(8), 8, when="{power_source: extern}")
        assert device.updates.state.refused is not None
        assert (device.updates.state.refused.refusal, device.control.policy.version) == (Refusal.INVALID, 7)

    asyncio.run(scenario())
