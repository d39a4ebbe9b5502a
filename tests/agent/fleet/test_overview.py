"""What is known of a fleet from what its devices say, and how it stands in a terminal's columns."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tidegate.cli.fleet_table import as_json, event_line, fleet_table, summary, verdict_table
from tidegate.fleet.overview import DeviceOverview, Overview
from tidegate.telemetry.payloads.device_status import DeviceStatus
from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.reported import PastVerdict, PolicyState, Reported, ReportedModel
from tidegate.telemetry.payloads.window import Window
from tidegate.terminal.table import lay_out

NOW = 1_800_000_000.0
POLICY = PolicyState(7, "ab" * 32, "accepted", name="field")
REPORTED = Reported(
    "0.2.0",
    policy=POLICY,
    bundle="ef" * 32,
    operating_point="int8",
    groups=("north",),
    verdicts=(PastVerdict(7, "ab" * 32, "accepted", int(NOW)),),
)
WINDOW = Window(NOW - 5, 10.0, "int8", 7, "serving", 0, 3, readings={"battery": 62.0})


def told(*messages: tuple[str, bytes], retained: bool = True) -> Overview:
    overview = Overview()
    for topic, payload in messages:
        overview.take(topic, payload, retained=retained, now=NOW)
    return overview


def whole(name: str, state: str = "online", reported: Reported = REPORTED) -> list[tuple[str, bytes]]:
    status = DeviceStatus("online" if state == "online" else "offline", 3, NOW - 7200)
    return [
        (f"tidegate/{name}/status", status.to_payload()),
        (f"tidegate/{name}/reported", to_json(reported.to_document())),
        (f"tidegate/{name}/telemetry", to_json(WINDOW.to_document())),
    ]


def test_a_device_is_what_it_said() -> None:
    (device,) = told(*whole("cam-1")).sorted()
    assert (device.state, device.point, device.battery_percent) == ("online", "int8", 62.0)
    assert not device.troubled


def test_what_was_not_said_is_unknown() -> None:
    (device,) = told(("tidegate/cam-1/reported", to_json(REPORTED.to_document()))).sorted()
    assert (device.state, device.battery_percent, device.seen_at) == ("unknown", None, None)
    row = fleet_table("", [device], NOW, wide=False).rows[0]
    assert row[:4] == ["cam-1", "unknown", "-", "-"]


def test_an_online_device_was_seen_when_it_last_spoke_an_offline_one_before_it_died() -> None:
    online, offline = told(*whole("a")), told(*whole("b", "offline"))
    assert online.sorted()[0].seen_at == NOW - 7200, "retained messages say nothing of now"
    online.take(*whole("a")[2], retained=False, now=NOW)
    assert online.sorted()[0].seen_at == NOW
    assert offline.sorted()[0].seen_at == NOW - 5, "its last window is later than its goodbye"


def test_troubled_devices_come_first_and_groups_are_told_apart() -> None:
    refusing = replace(REPORTED, refused=PolicyState(8, "cd" * 32, "refused", "expired"), groups=("south",))
    overview = told(*whole("a"), *whole("b", reported=refusing), *whole("c", "offline"))
    assert [each.device for each in overview.sorted()] == ["b", "c", "a"]
    assert [each.device for each in overview.sorted("north")] == ["c", "a"]
    assert summary(overview.sorted()) == "3 devices: 2 online, 1 offline, 1 refused a push"


def test_a_cleared_device_is_gone() -> None:
    overview = told(*whole("a")[:2])
    for topic, _ in whole("a")[:2]:
        overview.take(topic, b"", retained=True, now=NOW)
    assert overview.sorted() == []


@pytest.mark.parametrize("kind", ["status", "reported", "telemetry"])
def test_what_can_not_be_read_is_named_and_what_was_known_stays(kind: str) -> None:
    overview = told(*whole("cam-1"))
    overview.take(f"tidegate/cam-1/{kind}", b"\xff{", retained=False, now=NOW)
    (device,) = overview.sorted()
    assert device.unreadable == {kind}
    assert (device.state, device.point, device.battery_percent) == ("online", "int8", 62.0)
    assert "unreadab" in fleet_table("", [device], NOW, wide=False).rows[0][5]
    overview.take(*next(each for each in whole("cam-1") if each[0].endswith(kind)), retained=False, now=NOW)
    assert not overview.sorted()[0].unreadable


@given(st.text(max_size=40), st.binary(max_size=60))
def test_no_message_breaks_the_view(topic: str, payload: bytes) -> None:
    overview = Overview(most=2)
    for each in (topic, f"tidegate/{topic}/status", "tidegate/cam-1/reported", "tidegate/cam-1/telemetry"):
        overview.take(each, payload, retained=False, now=NOW)
    devices = overview.sorted()
    assert len(devices) <= 2
    lay_out(fleet_table(summary(devices), devices, NOW, wide=False), 80)
    json.dumps(as_json(devices, NOW))


def test_more_devices_than_are_kept_are_not_taken() -> None:
    overview = Overview(most=1)
    for name in ("a", "b"):
        overview.take(*whole(name)[0], retained=True, now=NOW)
    assert ([each.device for each in overview.sorted()], overview.left_out) == (["a"], True)


def test_a_row_of_the_watched_fleet_is_one_line_of_eighty_columns() -> None:
    held = replace(REPORTED, held_at="int8", operating_point="int8-skip-3-of-12-blocks")
    refused = replace(held, refused=PolicyState(1_700_000_008, "cd" * 32, "refused", "expired " * 20))
    devices = told(*(m for n in range(20) for m in whole(f"camera-at-the-far-end-{n}", reported=refused))).sorted()
    lines = lay_out(fleet_table(summary(devices), devices, NOW, wide=False), 80).plain.splitlines()
    assert len(lines) == 3 + 20, "title, head and rule, then a line for each"
    assert max(cell_len(line) for line in lines) <= 80


def test_the_verdicts_reason_is_in_the_wide_table_alone() -> None:
    refused = replace(REPORTED, refused=PolicyState(8, "cd" * 32, "refused", "it has expired"))
    devices = told(*whole("cam-1", reported=refused)).sorted()
    table = fleet_table("", devices, NOW, wide=True)
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "device": "cam-1",
        "state": "online",
        "seen": "2 h",
        "battery": "62 %",
        "point": "int8",
        "policy": "7, not 8",
        "last verdict": "8 refused: it has expired",
        "bundle": "efefefefefef",
        "its last verdict": "none",
        "further models": "none",
        "groups": "north",
        "agent": "0.2.0",
    }


BUNDLE = PolicyState(9, "ef" * 32, "accepted")


@pytest.mark.parametrize(
    ("told_of_it", "bundle", "verdict", "narrow", "troubled"),
    [
        ({"bundle_push": BUNDLE}, "9 (efefefefefef)", "8 rolled back", "7", False),
        (
            {"bundle_push": replace(BUNDLE, version=10, state="trial", reason="3 of 40 chunks")},
            "efefefefefef, not 10",
            "10 trial: 3 of 40 chunks",
            "bundle 10 trial",
            False,
        ),
        (
            {"bundle_push": replace(BUNDLE, version=10, state="rolled_back", reason="canary 3")},
            "9 (efefefefefef), not 10",
            "10 rolled back: canary 3",
            "bundle 10…olled back",
            True,
        ),
        (
            {"bundle_push": BUNDLE, "bundle_refused": replace(BUNDLE, version=11, state="refused", reason="late")},
            "9 (efefefefefef), not 11",
            "11 refused: late",
            "bundle 11 refused",
            True,
        ),
    ],
    ids=["taken", "on its way", "rolled back", "refused"],
)
def test_a_bundle_stands_beside_the_policy(
    told_of_it: dict[str, PolicyState], bundle: str, verdict: str, narrow: str, troubled: bool
) -> None:
    past = (PastVerdict(8, "aa" * 32, "rolled_back", int(NOW), "canary 1 differs", count=2),)
    if narrow == "bundle 10…olled back":
        past = (*past, PastVerdict(9, "ef" * 32, "accepted", int(NOW)))
    reported = replace(REPORTED, bundle_verdicts=past, **told_of_it)  # type: ignore[arg-type]  # named
    (device,) = told(*whole("cam-1", reported=reported)).sorted()
    table = fleet_table("", [device], NOW, wide=True)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["bundle"], row["its last verdict"], device.troubled) == (bundle, verdict, troubled)
    assert fleet_table("", [device], NOW, wide=False).rows[0][5] == narrow
    assert ("1 refused a push" in summary([device])) == troubled


def test_the_verdicts_that_are_remembered_are_told_newest_first() -> None:
    past = (PastVerdict(8, "aa" * 32, "rolled_back", int(NOW) + 60, "canary 1 differs", count=2),)
    far = replace(past[0], at_s=10**17)
    devices = told(*whole("cam-1", reported=replace(REPORTED, bundle_verdicts=past)), *whole("cam-2")).sorted()
    rows = verdict_table(devices).rows
    assert [[*row[:1], *row[2:]] for row in rows] == [
        ["cam-1", "bundle", "8", "rolled back", "2", "canary 1 differs"],
        ["cam-1", "policy", "7", "accepted", "1", "none"],
        ["cam-2", "policy", "7", "accepted", "1", "none"],
    ]
    strange = told(*whole("cam-1", reported=replace(REPORTED, bundle_verdicts=(far,)))).sorted()
    assert verdict_table(strange).rows[0][1] == "-", "a clock that no calendar has"


def test_json_holds_all_and_null_for_unknown() -> None:
    document = as_json([DeviceOverview("x"), *told(*whole("cam-1")).sorted()], NOW)
    first, second = json.loads(json.dumps(document))["devices"]
    assert (first["reported"], first["battery_percent"], first["state"]) == (None, None, "unknown")
    assert second["reported"]["verdicts"][0]["version"] == 7
    assert second["window"]["r"] == {"battery": 62}


EVENT = {"at": "2027-01-15T08:00:00.000+00:00", "kind": "switch", "text": "full \u2192 int8", "seq": 4}


def test_an_event_is_a_line_without_what_moves_the_cursor() -> None:
    line = event_line("cam-1", to_json({**EVENT, "text": "a\x1b[2Jb\nc"}), (), as_json=False)
    assert line is not None
    assert line.endswith("cam-1 switch: a\ufffd[2Jb c")
    assert json.loads(event_line("cam-1", to_json(EVENT), (), as_json=True) or "")["device"] == "cam-1"


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"{}", b'"at kind text"', to_json({**EVENT, "kind": "fault"})]
)
def test_other_kinds_and_what_is_no_event_are_left_out(payload: bytes) -> None:
    assert event_line("cam-1", payload, {"switch"}, as_json=False) is None


def test_a_failed_model_beside_the_main_one_is_trouble_and_its_reason_is_said() -> None:
    models = (ReportedModel("plates", "loaded", "cd", "int8"), ReportedModel("faces", "evicted", "cd"))
    (fine,) = told(*whole("cam-1", reported=replace(REPORTED, models=models))).sorted()
    assert not fine.troubled
    assert "plates at int8; faces evicted" in fleet_table("", [fine], NOW, wide=True).rows[0]
    lost = ReportedModel("faces", "failed", reason="its bundle is no directory")
    (device,) = told(*whole("cam-1", reported=replace(REPORTED, models=(lost,)))).sorted()
    assert device.troubled
    assert "1 with a failed model" in summary([device])
    assert "faces failed: its bundle is no directory" in fleet_table("", [device], NOW, wide=True).rows[0]
    assert "failed: faces" in fleet_table("", [device], NOW, wide=False).rows[0]
