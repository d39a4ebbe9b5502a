"""What a device reports."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.payloads.reported import (
    FailedUpgrade,
    PolicyState,
    Reported,
    ReportedError,
    parse_reported,
)

REPORTED = Reported(
    agent_version="0.1.0",
    policy=PolicyState(3, "ab" * 32, "accepted", "", "field-camera"),
    refused=PolicyState(2, "cd" * 32, "refused", "version 2 is not above 3", "field-camera"),
    bundle="digits",
    operating_point="half",
    certified_risk=0.015,
    failed_upgrade=FailedUpgrade(
        "versions/2", "2026-11-28T12:00:00+00:00", "canary 3 got no answer", ("one", "two")
    ),
)


@pytest.mark.parametrize("reported", [REPORTED, Reported(agent_version="0.1.0")])
def test_round_trip(reported: Reported) -> None:
    assert parse_reported(json.dumps(reported.to_document()).encode()) == reported


def test_fields_of_a_newer_agent_are_passed_over() -> None:
    document = REPORTED.to_document() | {"mood": "fine"}
    assert parse_reported(json.dumps(document).encode()) == REPORTED


def test_error_says_where() -> None:
    document = REPORTED.to_document() | {"policy": {"version": "three", "hash": "", "state": "accepted"}}
    with pytest.raises(ReportedError, match=r"policy\.version"):
        parse_reported(json.dumps(document).encode())


@given(st.binary())
def test_any_bytes_give_a_reported_error(data: bytes) -> None:
    with pytest.raises(ReportedError):
        parse_reported(data)
