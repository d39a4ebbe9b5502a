"""What a device says on its status topic, and what an operator reads of it."""

import pytest

from tidegate.telemetry.payloads.device_status import DeviceStatus, parse_device_status


def test_its_bytes_are_what_operators_read() -> None:
    status = DeviceStatus("online", 3, 1_700_000_000.12345)
    assert status.to_payload() == b'{"state":"online","session":3,"since":1700000000.123}'
    assert parse_device_status(status.to_payload()) == DeviceStatus("online", 3, 1_700_000_000.123)


def test_a_death_that_nobody_announced_has_no_time() -> None:
    assert DeviceStatus("offline", 3, None).to_payload() == b'{"state":"offline","session":3,"since":null}'


def test_a_newer_agent_may_say_more() -> None:
    read = parse_device_status(b'{"state":"online","session":3,"since":null,"mood":"good"}')
    assert read == DeviceStatus("online", 3, None)


@pytest.mark.parametrize(
    "payload", [b"", b"hello", b"[]", b'{"state":"asleep","session":1,"since":null}', b"\xff"]
)
def test_what_is_none_of_ours_is_not_read(payload: bytes) -> None:
    assert parse_device_status(payload) is None
