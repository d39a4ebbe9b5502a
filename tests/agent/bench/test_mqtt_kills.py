"""Kills: what a judgement finds of rows lost, doubled and rewritten, and that the real machines stand them."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tidegate.telemetry.payloads.window import Window
from tidegate_bench.mqtt import kills
from tidegate_bench.mqtt.delivery_kills import Delivery, Told, Trouble, deliver, judged
from tidegate_bench.mqtt.killed_child import die_at_change, forked, was_killed
from tidegate_bench.mqtt.push_kills import PushKills, kill_pushes
from tidegate_bench.mqtt.push_stories import stories
from tidegate_bench.mqtt.recorded_packets import Published, Record, Recorder


def window(seq: int, windows: int = 1) -> Published:
    document = Window(100.0 * seq, 10.0, "full", 1, "serving", 0, 0, windows=windows).to_document()
    return Published("tidegate/killed/telemetry", json.dumps({**document, "seq": seq}).encode())


def event(seq: int, text: str = "x") -> Published:
    return Published("tidegate/killed/event", json.dumps({"text": text, "seq": seq}).encode())


def delivery(told: Told, *passed: Published, waiting: int = 0, dropped: int = 0) -> Delivery:
    record = Record(list(passed), list(passed))
    return judged(told, record, waiting, 0, dropped, kills=Counter(), inside=0, torn={})


def told(text: bytes) -> Told:
    said = Told()
    said.read(text)
    return said


FOUR = b"? t\n1 t 1\n? e\n2 e 1\n? t\n3 t 1\n? t\n"


def test_all_that_was_on_the_disk_has_to_arrive() -> None:
    assert delivery(told(FOUR), window(1), event(2), window(3)).lost == 0
    assert delivery(told(FOUR), event(2), window(3, windows=2)).lost == 0, "merged"
    assert delivery(told(FOUR), window(1), window(3)).lost == 1, "an event"
    assert delivery(told(FOUR), window(1), event(2)).lost == 1, "a window"
    assert delivery(told(FOUR), window(1), event(2), waiting=1).lost == 2, "and what is stuck"


def test_a_row_told_twice_is_a_duplicate_only_under_its_own_number_and_content() -> None:
    again = delivery(told(FOUR), window(1), window(1), event(2), window(3))
    assert (again.duplicates, again.doubled, again.rewritten) == (1, 0, ())
    # Three were begun, one of them perhaps not stored.
    assert delivery(told(FOUR), window(1), window(3, windows=2), event(2)).doubled == 0
    assert delivery(told(FOUR), window(1), window(3, windows=3), event(2)).doubled == 1
    assert delivery(told(FOUR), window(1), event(2), event(2, "y"), window(3)).rewritten == (
        '2: {"text": "x", "seq": 2} or {"text": "y", "seq": 2}',
    )


def test_what_the_disk_had_not_taken_was_not_promised() -> None:
    said = told(b"? t\n1 t 0\n? e\n2 e 1\n? t\n3 t")
    assert (said.stored, said.unstored, said.begun["t"]) == ({2: "e"}, 1, 2)
    assert delivery(said, event(2)).lost == 0


def test_packets_are_read_however_they_are_cut() -> None:
    body = b"\x00\x03t/a" + b"\x00\x07" + b"\x02\x01\x00" + b"x" * 200
    stream = b"\x32" + bytes([len(body) % 128 | 0x80, len(body) // 128]) + body + b"\xc0\x00"
    for at in range(len(stream)):
        record = Record()
        recorder = Recorder(record)
        recorder.device_says(stream[:at])
        recorder.device_says(stream[at:])
        assert record.sent == [Published("t/a", b"x" * 200)]
        recorder.broker_says(b"\x40\x02\x00")
        assert record.acknowledged == []
        recorder.broker_says(b"\x07")
        assert record.acknowledged == record.sent


def test_a_refused_row_is_not_acknowledged() -> None:
    record = Record()
    recorder = Recorder(record)
    recorder.device_says(b"\x32\x08\x00\x01t\x00\x07\x00ab")
    recorder.broker_says(b"\x40\x03\x00\x07\x87")
    assert (len(record.sent), record.acknowledged) == (1, [])


class TornFiles:
    """A push that writes two files one after the other: its kill in between is half of it."""

    name = "two files"

    def begin(self, directory: Path) -> None:
        self._write(directory, "old")

    def push(self, directory: Path) -> None:
        self._write(directory, "new")

    def half_applied(self, directory: Path) -> str:
        both = {(directory / name).read_text() for name in "ab"}
        return "" if len(both) == 1 else "half"

    def left_at(self, directory: Path) -> str:
        return "anywhere"

    def _write(self, directory: Path, text: str) -> None:
        for name in "ab":
            draft = directory / f"{name}.new"
            draft.write_text(text)
            draft.rename(directory / name)


def test_a_push_that_can_be_half_applied_is_found(tmp_path: Path) -> None:
    found = kill_pushes(TornFiles(), tmp_path, every=1)
    assert sum(found.kills.values()) - found.again == 4, "each opening and each renaming"
    assert len(found.half_applied) == 2


def test_a_child_is_killed_before_the_change_that_is_named(tmp_path: Path) -> None:
    def act() -> None:
        die_at_change(2, tmp_path)
        for name in "abc":
            (tmp_path / name).touch()

    assert was_killed(forked(act))
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_policies_keys_and_bundles_are_old_or_new(tmp_path: Path) -> None:
    for number, story in enumerate(stories(tmp_path / "bundles")):
        found: PushKills = kill_pushes(story, tmp_path / str(number), every=29 if "bundle" in story.name else 7)
        assert found.half_applied == ()
        assert found.kills


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_a_device_killed_while_it_delivers_loses_nothing(tmp_path: Path) -> None:
    found = deliver(tmp_path, 16, Random(1), lambda _: None)
    assert set(found.kills) == {Trouble.NONE, Trouble.BROKER_DOWN, Trouble.CUT, Trouble.FORGETFUL}
    assert found.stored > 0
    assert (found.lost, found.doubled, found.rewritten) == (0, 0, ())


@pytest.mark.slow
@pytest.mark.broker
def test_the_quick_form_misses_nothing_but_the_number_of_kills() -> None:
    figures = kills.run(quick=True, progress=lambda _: None)
    assert [goal.goal for goal in figures.goals if not goal.met] == ["kills", "kills of whole agents"]
