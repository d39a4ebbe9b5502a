"""Trusted keys that are replaced by a signed message: what is taken, and that no message locks a device out."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor.events.event import Event
from tidegate.supervisor.updates.key_rotation import FILE_NAME, KeyStore, refusal_of, rotation_in_force
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.telemetry.payloads.envelope import MAX_ENVELOPE_BYTES, Target
from tidegate.telemetry.payloads.keys_envelope import PAYLOAD_TYPE, keys_in, seal_keys
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PrivateKey
from tidegate.trust.ratchet import MOST_AHEAD
from tidegate.trust.trusted_keys import Role, Signed, TrustedKey, TrustedKeys

PRIVATE = {name: PrivateKey(bytes(32 * [number])) for number, name in enumerate("abcd", start=1)}
GATE = Target("device", "gate-7")
TOPIC = "tidegate/gate-7/keys"
NOW = datetime(2027, 6, 1, tzinfo=UTC)
BOTH = frozenset({Role.POLICY, Role.KEY_ROTATION})
POLICY = frozenset({Role.POLICY})


def trusted(thresholds: dict[Role, int] | None = None, **roles: frozenset[Role]) -> TrustedKeys:
    keys = tuple(TrustedKey(name, PRIVATE[name].public, its) for name, its in roles.items())
    return TrustedKeys(keys, thresholds or {})


def private(names: str) -> list[PrivateKey]:
    return [PRIVATE[name] for name in names]


OLD = trusted(a=BOTH, b=POLICY)
NEW = trusted(c=BOTH, b=POLICY)

role_sets = st.frozensets(st.sampled_from(Role), min_size=1)
key_lists = st.builds(
    lambda roles, thresholds: trusted(thresholds, **roles),
    st.dictionaries(st.sampled_from("abcd"), role_sets, max_size=4),
    st.dictionaries(st.sampled_from(Role), st.integers(1, 3), max_size=2),
)


@given(key_lists, key_lists, st.lists(st.sampled_from("abcd"), unique=True))
def test_no_message_locks_a_device_out(old: TrustedKeys, new: TrustedKeys, signers: list[str]) -> None:
    envelope = seal_keys(new, 2, GATE, None, private("".join(signers)))
    if refusal_of(old, envelope, keys_in(envelope)) is not None:
        return
    assert isinstance(old.judge(envelope, Role.KEY_ROTATION), Signed), "who held keys before has agreed"
    again = seal_keys(old, 3, GATE, None, private("".join(signers)))
    assert isinstance(new.judge(again, Role.KEY_ROTATION), Signed), "and the same signers can rotate again"
    assert new.problem() is None
    for role in (Role.POLICY, Role.BUNDLE):
        if old.with_role(role):
            everybody = seal_keys(old, 3, GATE, None, private("abcd"))
            assert isinstance(new.judge(everybody, role), Signed), "all that could be signed can be signed still"


class Device:
    """The key store of one device over a directory that outlives it."""

    def __init__(self, directory: Path, configured: TrustedKeys = OLD) -> None:
        self.events: list[Event] = []
        times = LatestTime(directory, NOW.timestamp)
        self.store = KeyStore(directory, configured, times, self.events.append)

    async def push(self, keys: TrustedKeys, version: int, signers: str, **more: object) -> str:
        topic = str(more.pop("topic", TOPIC))
        envelope = seal_keys(keys, version, more.pop("to", GATE), more.pop("expires", None), private(signers))  # type: ignore[arg-type]
        await asyncio.to_thread(self.store.receive, topic, envelope.to_json())
        assert self.store.verdict is not None
        return self.store.verdict.refusal or self.store.verdict.state


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(30):
            await scene()

    asyncio.run(in_time())


def test_keys_are_replaced_and_outlive_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        assert device.store.trusted == OLD
        assert await device.push(NEW, 2, "ac") == "accepted"
        assert device.store.trusted == NEW
        assert "trusted keys version 2 are in force: c, b" in device.events[-1].text
        told = len(device.events)
        assert await device.push(NEW, 2, "ac") == "accepted", "what the broker retains comes again"
        assert len(device.events) == told
        again = Device(tmp_path)
        assert again.store.trusted == NEW
        assert await again.push(OLD, 2, "ca") == "downgrade"
        assert await again.push(OLD, 3, "a") == "unknown_key", "the old key alone counts no longer"
        assert again.store.refusals == {"downgrade": 1, "unknown_key": 1}

    run(scene)


def test_other_keys_in_agent_yaml_undo_a_rotation(tmp_path: Path) -> None:
    """The owner's way back, with hands on the device."""

    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(NEW, 2, "ac") == "accepted"
        by_hand = trusted(d=BOTH)
        device.store.use(by_hand)
        assert device.store.trusted == by_hand
        assert "agent.yaml's, which has changed" in device.events[-1].text
        again = Device(tmp_path, by_hand)
        assert again.store.trusted == by_hand
        assert await again.push(NEW, 2, "ac") == "unknown_key", "what is retained does not bring them back"
        assert await again.push(NEW, 2, "dc") == "downgrade"
        assert await again.push(NEW, 3, "dc") == "accepted"

    run(scene)


def test_a_rotation_that_was_undone_stays_undone(tmp_path: Path) -> None:
    """Also where agent.yaml says again just what it said before: that list is what its owner wants."""

    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(NEW, 2, "ac") == "accepted"
        device.store.use(trusted(d=BOTH))
        device.store.use(OLD)
        assert device.store.trusted == OLD
        assert rotation_in_force(tmp_path, OLD) is None
        again = Device(tmp_path)
        assert again.store.trusted == OLD
        assert await again.push(NEW, 2, "ac") == "downgrade", "nor does what is retained bring it back"
        assert await again.push(NEW, 3, "ac") == "accepted"
        assert Device(tmp_path).store.trusted == NEW

    run(scene)


TWO = {Role.KEY_ROTATION: 2}
REFUSED: dict[str, tuple[TrustedKeys, int, str, dict[str, object], str]] = {
    "no signature": (NEW, 2, "", {}, "not_signed"),
    "not the old key's": (NEW, 2, "c", {}, "unknown_key"),
    "not the new key's": (NEW, 2, "a", {}, "locks_out"),
    "a key without the role": (NEW, 2, "bc", {}, "wrong_role"),
    "nobody who could rotate again": (trusted(a=POLICY, b=POLICY), 2, "ab", {}, "locks_out"),
    "nobody for policies": (trusted(a=frozenset({Role.KEY_ROTATION})), 2, "a", {}, "locks_out"),
    "no keys at all": (trusted(), 2, "a", {}, "locks_out"),
    "a threshold that nobody reaches": (trusted(TWO, a=BOTH), 2, "a", {}, "invalid"),
    "two needed, one signs": (trusted(TWO, a=BOTH, c=BOTH), 2, "a", {}, "locks_out"),
    "from far ahead": (NEW, MOST_AHEAD + 1, "ac", {}, "too_far_ahead"),
    "expired": (NEW, 2, "ac", {"expires": NOW - timedelta(seconds=1)}, "expired"),
    "for another device": (NEW, 2, "ac", {"to": Target("device", "gate-8")}, "wrong_target"),
    "on the fleet's topic": (NEW, 2, "ac", {"topic": "tidegate/fleet/keys"}, "wrong_target"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_rotation_changes_nothing(tmp_path: Path, what: str) -> None:
    keys, version, signers, more, refusal = REFUSED[what]

    async def scene() -> None:
        device = Device(tmp_path)
        assert await device.push(keys, version, signers, **more) == refusal
        assert (device.store.trusted, (tmp_path / FILE_NAME).exists()) == (OLD, False)
        assert device.events[-1].details["refusal"] == refusal
        assert await device.push(NEW, 2, "ac") == "accepted"

    run(scene)


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b"x" * 300_000])
def test_no_bytes_on_the_topic_cost_anything(tmp_path: Path, payload: bytes) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        await asyncio.to_thread(device.store.receive, TOPIC, payload)
        assert device.store.verdict is not None
        assert (device.store.verdict.state, device.store.trusted) == ("refused", OLD)

    run(scene)


@pytest.mark.parametrize("name", ["a b", "a\nb", "\x1b[2J", "a/b", "+", "\u202e", "x" * 500])
def test_a_name_that_agent_yaml_would_refuse_comes_by_no_message_either(tmp_path: Path, name: str) -> None:
    payload = {
        "keys": [{"name": name, "key": PRIVATE["a"].public.text, "roles": ["policy", "key_rotation"]}],
        "version": 2,
        "target": {"device": "gate-7"},
        "expires": None,
    }
    envelope = Envelope(PAYLOAD_TYPE, json.dumps(payload).encode()).signed_by(private("a"))

    async def scene() -> None:
        device = Device(tmp_path)
        await asyncio.to_thread(device.store.receive, TOPIC, envelope.to_json())
        assert device.store.verdict is not None
        assert (device.store.verdict.refusal, device.store.trusted) == ("malformed", OLD)
        await asyncio.to_thread(device.store.receive, TOPIC, b" " * (MAX_ENVELOPE_BYTES + 1))
        assert device.store.verdict.refusal == "too_large"

    run(scene)


def test_a_disk_that_refuses_makes_the_broker_keep_it(tmp_path: Path) -> None:
    async def scene() -> None:
        device = Device(tmp_path)
        (tmp_path / f"{FILE_NAME}.new").mkdir()
        for number in range(1, 10):
            (tmp_path / f"{FILE_NAME}.new.in-the-way-{number}").mkdir()
        with pytest.raises(OSError, match="not a plain file"):
            await device.push(NEW, 2, "ac")
        assert device.store.trusted == OLD, "nothing is in force that a restart would forget"
        (tmp_path / f"{FILE_NAME}.new").rmdir()
        assert await device.push(NEW, 2, "ac") == "accepted"

    run(scene)


def test_a_damaged_file_is_told_and_leaves_the_keys_of_agent_yaml(tmp_path: Path) -> None:
    async def scene() -> None:
        assert await Device(tmp_path).push(NEW, 2, "ac") == "accepted"
        (tmp_path / FILE_NAME).write_text("{")
        device = Device(tmp_path)
        assert device.store.trusted == OLD
        assert "need to be rotated again" in device.events[0].text

    run(scene)
