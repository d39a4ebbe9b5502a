"""Which devices come first, as data; and the state that only its operator can go on with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.fleet.rollout.rollout_state import RolloutState, RolloutStateError, opened, rollout_topic, sealed
from tidegate.fleet.rollout.stages import stages
from tidegate.telemetry.payloads.envelope import Target
from tidegate.trust.keys import PrivateKey

names = st.sets(st.from_regex("[a-z0-9]{1,6}", fullmatch=True), max_size=40)
shares = st.lists(st.floats(0.01, 0.99), max_size=4, unique=True).map(lambda some: (*sorted(some), 1.0))


@given(names, st.data(), shares, st.text(max_size=5))
def test_each_device_comes_once_and_each_stage_has_its_share(
    devices: set[str], data: st.DataObject, shares: tuple[float, ...], salt: str
) -> None:
    online = data.draw(st.sets(st.sampled_from(sorted(devices)))) if devices else set()
    found = stages(devices, online, shares, salt)
    flat = [name for stage in found for name in stage]
    assert sorted(flat) == sorted(devices)
    assert len(found) == len(shares)
    for number, share in enumerate(shares, start=1):
        so_far = sum(map(len, found[:number]))
        assert share * len(devices) <= so_far + 1e-9 < share * len(devices) + 1
    if devices:
        assert found[0], "somebody is the first"
    assert {name in online for name in flat[: len(online)]} <= {True}, "who is away comes last"
    assert found == stages(sorted(devices), sorted(online), shares, salt), "the same each time"


def test_other_rollouts_have_other_canaries() -> None:
    devices = [f"cam-{number}" for number in range(100)]
    first = {stages(devices, devices, (0.05, 1.0), f"salt-{number}")[0] for number in range(20)}
    assert len(first) > 15


def test_only_the_keys_of_its_operator_open_a_state() -> None:
    ours, other = PrivateKey(bytes(32)), PrivateKey(bytes([1] * 32))
    state = RolloutState("night version 5", 5, "ab" * 32, (("a",), ("b", "c")), {"a": ("int8",)}, 1)
    payload = sealed(state, [ours])
    assert opened(payload, [other.public, ours.public]) == state
    for wrong in (sealed(state, [other]), sealed(state, []), b"{}", b"", payload.replace(b'payload"', b'pay"')):
        with pytest.raises(RolloutStateError, match="clear that topic"):
            opened(wrong, [ours.public])
    assert rollout_topic(Target("group", "barn")) == "tidegate/group/barn/rollout"
    assert rollout_topic(Target("fleet")) == "tidegate/fleet/rollout"
