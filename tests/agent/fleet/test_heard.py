"""What a rollout makes of messages: of any order, twice, of other pushes, from clocks that jump."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.fleet.rollout.abort_rule import Fared
from tidegate.fleet.rollout.heard import OVERTAKEN, Heard, RolledOut
from tidegate.telemetry.payloads.device_status import DeviceStatus
from tidegate.telemetry.payloads.envelope import Target
from tidegate.telemetry.payloads.reported import ComparedPoint, PastVerdict, PolicyState, Reported
from tidegate.telemetry.payloads.window import Window

OURS = RolledOut("policy", 5, "ab" * 32)
TAKEN = PolicyState(5, OURS.hash, "accepted", push_id="p1")
REPORT = Reported("1", TAKEN, groups=("barn", "gate"))


def heard(rolled_out: RolledOut = OURS, *reports: Reported, group: str = "barn") -> Heard:
    found = Heard(rolled_out, Target("group", group))
    found.take("cam", "status", DeviceStatus("online", 1, 0.0).to_payload(), retained=True)
    for each in reports:
        say(found, each)
    return found


def say(found: Heard, report: Reported) -> None:
    found.take("cam", "reported", json.dumps(asdict(report)).encode(), retained=False)


def window(
    found: Heard, seq: int, p95_ms: float, policy: int = 5, at: float = 0.0, windows: int = 1, restarts: int = 0
) -> None:
    told = Window(at, 60.0, "full", policy, "running", restarts, 0, windows=windows, requests=1, p95_ms=p95_ms)
    payload = json.dumps({**told.to_document(), "seq": seq}).encode()
    found.take("cam", "telemetry", payload, retained=False)


def fared(found: Heard) -> Fared:
    return found.fared(["cam"], {}, {}, {})


def p95_ms(found: Heard) -> float | None:
    seen = fared(found).measured["cam"]
    return seen.p95_ms / seen.p95_requests if seen.p95_requests else None


def test_only_a_verdict_on_the_push_that_was_sent_counts() -> None:
    found = heard(OURS, REPORT)
    assert found.verdict("cam") == "accepted", "nothing was sent yet: any verdict on it is its verdict"
    found.pushed("cam", "p2")
    assert found.verdict("cam") == ""
    say(found, replace(REPORT, policy=replace(TAKEN, push_id="p2")))
    assert found.verdict("cam") == "accepted"
    found.take("cam", "reported", b"{", retained=False)
    assert found.verdict("cam") == "accepted", "what can't be read changes nothing"


def test_a_bundle_of_the_same_version_is_something_else() -> None:
    found = heard(RolledOut("bundle", 5, OURS.hash), REPORT)
    assert found.verdict("cam") == ""
    say(found, replace(REPORT, bundle_push=TAKEN))
    assert found.verdict("cam") == "accepted"
    assert heard(OURS, replace(REPORT, policy=None, bundle_push=TAKEN)).verdict("cam") == ""


def test_a_device_in_two_groups_that_runs_the_newer_push_is_not_judged() -> None:
    for group in ("barn", "gate"):
        newer = replace(TAKEN, version=6, hash="cd" * 32)
        found = heard(OURS, replace(REPORT, policy=newer, refused=replace(TAKEN, state="refused")), group=group)
        assert found.members() == ("cam",)
        assert found.verdict("cam") == OVERTAKEN
        assert fared(found) == Fared(1)


def test_a_new_bundle_begins_with_all_points_on_its_ladder() -> None:
    demoted = replace(REPORT, demoted=("int8",), bundle_push=TAKEN, compared=(point(200, 30),))
    assert heard(OURS, demoted).demoted(["cam"]) == {"cam": ("int8",)}
    found = heard(RolledOut("bundle", 5, OURS.hash), demoted)
    assert found.demoted(["cam"]) == {}
    assert fared(found).counted == {"demoted": {"cam": "int8 broke its certificate"}}


@given(st.permutations([(10, 0), (500, 9), (1500, 30)]), st.booleans())
def test_evidence_is_the_most_that_was_reported_under_it(reports: list[tuple[int, int]], twice: bool) -> None:
    found = heard(OURS, replace(REPORT, policy=replace(TAKEN, version=4), compared=(point(9000, 900),)))
    for seen, disagreed in reports * (1 + twice):
        say(found, replace(REPORT, compared=(point(seen, disagreed),)))
    assert fared(found).compared == (point(1500, 30),)


@pytest.mark.parametrize(("seen", "disagreed", "counted"), [(200, 30, True), (200, 5, False), (0, 0, False)])
def test_a_point_demoted_for_what_it_did_before_is_not_held_against_it(
    seen: int, disagreed: int, counted: bool
) -> None:
    found = heard(OURS, replace(REPORT, demoted=("int8",), compared=(point(seen, disagreed),)))
    assert ("demoted" in fared(found).counted) is counted


def point(seen: int, disagreed: int) -> ComparedPoint:
    return ComparedPoint("int8", seen, disagreed, 0.02)


def test_counts_that_cannot_be_are_not_taken() -> None:
    found = heard(OURS, REPORT)
    for wrong in ({"seen": 1, "disagreed": 2}, {"seen": -1, "disagreed": -1}, {"allowed": 0}, {"allowed": "nan"}):
        told = {"point": "int8", "seen": 5, "disagreed": 1, "allowed": 0.02} | wrong
        payload = json.dumps(asdict(REPORT) | {"compared": [told]}).encode()
        found.take("cam", "reported", payload, retained=False)
    assert fared(found).compared == ()


def test_windows_before_and_since_are_told_apart() -> None:
    found = heard()
    for seq in (1, 2, 2, 1):
        window(found, seq, 40.0, policy=4, restarts=1)
    assert found.before(["cam"])["cam"]["latency_p95"] == 40.0
    found.pushed("cam", "p1")
    window(found, 3, 99.0, policy=4)
    say(found, REPORT)
    window(found, 4, 99.0, restarts=1)  # began before the verdict
    window(found, 5, 99.0, policy=4)  # of another policy, from the spool
    window(found, 6, 99.0, windows=5)
    assert p95_ms(found) is None
    window(found, 7, 50.0, restarts=2)
    window(found, 7, 99.0)
    assert p95_ms(found) == 50.0
    assert found.before(["cam"])["cam"]["latency_p95"] == 40.0
    seen = fared(found).measured["cam"]
    assert (seen.first_restarts, seen.restarts) == (1, 2)


def test_windows_of_a_former_bundle_are_told_by_the_devices_own_clock() -> None:
    at_s = 5000
    past = PastVerdict(5, OURS.hash, "accepted", at_s)
    found = heard(RolledOut("bundle", 5, OURS.hash), replace(REPORT, bundle_push=TAKEN, bundle_verdicts=(past,)))
    window(found, 1, 99.0, at=at_s - 60.0)
    window(found, 2, 99.0, at=at_s + 10.0)  # began before the verdict
    window(found, 3, 50.0, at=at_s + 70.0)
    window(found, 4, 99.0, at=0.0)  # its clock has jumped back: unknown when that was
    assert p95_ms(found) == 50.0
