"""Topic names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.topics import FLEET_POLICY, DeviceTopics, TopicError, group_policy


def test_names() -> None:
    device = DeviceTopics("cam-1")
    assert device.status == "tidegate/cam-1/status"
    assert device.telemetry == "tidegate/cam-1/telemetry"
    assert device.event == "tidegate/cam-1/event"
    assert device.reported == "tidegate/cam-1/reported"
    assert device.policy == "tidegate/cam-1/policy"
    assert group_policy("barn") == "tidegate/group/barn/policy"
    assert FLEET_POLICY == "tidegate/fleet/policy"


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a b", "ä", "-a", ".a", "a\n", "x" * 65, "group", "fleet"])
def test_impossible_device_ids(name: str) -> None:
    with pytest.raises(TopicError, match="found"):
        DeviceTopics(name)


@given(st.text())
def test_accepted_names_add_exactly_one_level(name: str) -> None:
    try:
        topic = group_policy(name)
    except TopicError:
        return
    assert topic.count("/") == 3
    assert not set("+#\0") & set(topic)
