"""The store's states, and a stop at every write within every step."""

import json
import os
from pathlib import Path

import pytest

from tidegate.policy.store import PolicyStore, StoreError, WrongStateError, digest_of
from tidegate.trust.ratchet import MOST_AHEAD, Verdict

OLD, NEW = "name: old", "name: new"


class Stopped(BaseException):
    """The power went out. No handler may catch it, as none runs then."""


def offer(store, version, text):
    return store.offer(text, version, digest_of(text))


def with_accepted(directory, version=1, text=OLD):
    store = PolicyStore(directory)
    offer(store, version, text)
    store.begin_trial(text)
    store.accept()
    return store


def test_the_whole_way_survives_reopening(tmp_path):
    assert PolicyStore(tmp_path).accepted is None
    with_accepted(tmp_path, 7)
    store = PolicyStore(tmp_path)
    assert (store.accepted.version, store.accepted.text, store.trusted_version) == (7, OLD, 7)
    assert store.recovered is None


@pytest.mark.parametrize(
    ("version", "text", "verdict", "reason"),
    [
        (8, NEW, Verdict.NEW, "version 8 is new"),
        (7, OLD, Verdict.ALREADY_THERE, "version 7 is already there, accepted"),
        (7, NEW, Verdict.REFUSED, "version 7 is already trusted with another text"),
        (6, NEW, Verdict.REFUSED, "version 6 is older than the trusted version 7"),
        (6, OLD, Verdict.REFUSED, "version 6 is older than the trusted version 7"),
    ],
)
def test_offers(tmp_path, version, text, verdict, reason):
    answer = offer(with_accepted(tmp_path, 7), version, text)
    assert (answer.verdict, answer.reason) == (verdict, reason)
    store = PolicyStore(tmp_path)
    assert store.accepted.version == 7
    assert store.trusted_version == max(7, version)


def test_a_text_must_have_the_hash_it_is_offered_with(tmp_path):
    store = with_accepted(tmp_path)
    assert store.offer(NEW, 2, digest_of(OLD)).verdict is Verdict.REFUSED
    assert store.trusted_version == 1


def test_an_invalid_policy_is_given_up_and_its_version_stays_trusted(tmp_path):
    store = with_accepted(tmp_path)
    offer(store, 2, NEW)
    assert store.roll_back("line 3: unknown key").version == 2
    store = PolicyStore(tmp_path)
    assert store.accepted.version == 1
    again = offer(store, 2, NEW)
    assert again.verdict is Verdict.ALREADY_THERE
    assert again.reason == "version 2 is already there, rolled back: line 3: unknown key"
    assert offer(store, 1, OLD).verdict is Verdict.REFUSED


def test_an_offer_that_was_never_tried_is_resumed(tmp_path):
    offer(with_accepted(tmp_path), 2, NEW)
    store = PolicyStore(tmp_path)
    assert store.accepted.version == 1
    assert offer(store, 2, NEW).verdict is Verdict.NEW
    store.begin_trial(NEW)
    assert store.accept().version == 2


def test_a_trial_left_over_is_rolled_back_and_reported_once(tmp_path):
    store = with_accepted(tmp_path)
    offer(store, 2, NEW)
    store.begin_trial(NEW)
    store = PolicyStore(tmp_path)
    assert store.recovered.version == 2
    assert store.recovered.reason == "the service stopped during its trial"
    assert (store.accepted.version, store.trial) == (1, None)
    assert PolicyStore(tmp_path).recovered is None


@pytest.mark.parametrize(
    "mistake",
    [
        lambda store: store.accept(),
        lambda store: store.begin_trial(OLD),
        lambda store: store.roll_back("nothing there"),
    ],
)
def test_steps_out_of_order_change_nothing(tmp_path, mistake):
    store = with_accepted(tmp_path)
    before = (tmp_path / "policies.json").read_bytes()
    with pytest.raises(WrongStateError):
        mistake(store)
    assert (tmp_path / "policies.json").read_bytes() == before


def test_no_offer_and_no_other_text_during_a_trial(tmp_path):
    store = with_accepted(tmp_path)
    offer(store, 2, NEW)
    with pytest.raises(WrongStateError, match="not the text"):
        store.begin_trial(OLD)
    store.begin_trial(NEW)
    with pytest.raises(WrongStateError, match="version 2 is on trial"):
        offer(store, 3, OLD)


def whole(directory):
    return (directory / "policies.json").read_text()


def without_its_text(directory):
    state = json.loads(whole(directory))
    state["accepted"]["text"] += "#"
    return json.dumps(state).encode()


# What the file holds instead, and the version that is still trusted then.
DAMAGE = {
    "truncated": (lambda directory: whole(directory)[:-20].encode(), 0),
    "empty": (lambda _: b"", 0),
    "zeros": (lambda directory: bytes(len(whole(directory))), 0),
    "another JSON": (lambda _: b'["policies"]', 0),
    "a number": (lambda _: b"7", 0),
    "not UTF-8": (lambda directory: whole(directory).encode().replace(b"name", b"n\xffme"), 0),
    "deep": (lambda _: b'{"trusted":' + b"[" * 100_000, 0),
    "far too long": (lambda directory: whole(directory).encode()[:-1] + b" " * (9 << 20) + b"}", 0),
    "an unknown format": (lambda directory: whole(directory).replace('"format": 1', '"format": 2').encode(), 7),
    "a version of the wrong type": (lambda directory: whole(directory).replace(": 7,", ': "x",').encode(), 0),
    "another text": (without_its_text, 7),
    "a state of the wrong type": (lambda _: b'{"format": 1, "trusted": {"version": 7, "digest": 5}}', 7),
    "a version that is none": (lambda _: b'{"format": 1, "trusted": {"version": true, "digest": ""}}', 0),
    "a version that is too large": (lambda _: b'{"format": 2, "trusted": {"version": 1e99, "digest": ""}}', 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_moved_aside_and_pushes_go_on(tmp_path, damage):
    with_accepted(tmp_path, 7)
    instead, trusted = DAMAGE[damage]
    content = instead(tmp_path)
    (tmp_path / "policies.json").write_bytes(content)
    store = PolicyStore(tmp_path)
    said = ("policies.json: it is damaged", "the hash of a policy in it does not match")
    assert any(words in store.damage for words in said)
    assert (store.accepted, store.trial, store.trusted_version) == (None, None, trusted)
    assert (tmp_path / "policies.json.damaged-1").read_bytes() == content
    assert offer(store, trusted + 1, NEW).verdict is Verdict.NEW
    store.begin_trial(NEW)
    store.accept()
    again = PolicyStore(tmp_path)
    assert (again.damage, again.accepted.version) == ("", trusted + 1)


def test_the_broker_brings_back_the_accepted_policy_whose_text_was_lost(tmp_path):
    with_accepted(tmp_path, 7)
    (tmp_path / "policies.json").write_bytes(without_its_text(tmp_path))
    store = PolicyStore(tmp_path)
    assert offer(store, 6, NEW).verdict is Verdict.REFUSED
    assert offer(store, 7, NEW).verdict is Verdict.REFUSED
    assert offer(store, 7, OLD).verdict is Verdict.NEW


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_file_is_moved_aside(tmp_path, kind):
    path = tmp_path / "policies.json"
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    store = PolicyStore(tmp_path)
    assert "it is not a file" in store.damage
    assert offer(store, 1, NEW).verdict is Verdict.NEW
    assert PolicyStore(tmp_path).trusted_version == 1


def test_a_file_that_cannot_be_read_is_moved_aside(tmp_path, monkeypatch):
    with_accepted(tmp_path, 7)
    opened = Path.open

    def failing(path, *arguments, **options):
        if path.name == "policies.json":
            raise OSError(5, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", failing)
    store = PolicyStore(tmp_path)
    monkeypatch.undo()
    assert "it can't be read: Input/output error" in store.damage
    assert offer(store, 1, NEW).verdict is Verdict.NEW


def test_only_the_last_damaged_files_are_kept(tmp_path):
    for number in range(1, 6):
        (tmp_path / "policies.json").write_text(f"damage {number}")
        PolicyStore(tmp_path)
    assert [path.read_text() for path in sorted(tmp_path.glob("*.damaged-*"))] == [
        "damage 3",
        "damage 4",
        "damage 5",
    ]


@pytest.mark.parametrize(
    ("trusted", "floor", "version", "verdict"),
    [
        (0, 0, MOST_AHEAD, Verdict.NEW),
        (0, 0, MOST_AHEAD + 1, Verdict.REFUSED),
        (0, 20_261_127, 20_261_128, Verdict.NEW),
        (7, 0, 1_800_000_000, Verdict.NEW),
        (7, 1 << 40, (1 << 40) + 1, Verdict.NEW),
        (7, 0, 2**53 - 1, Verdict.REFUSED),
        (7, 0, 2**52, Verdict.REFUSED),
        (1_800_000_000, 0, 1_900_000_000, Verdict.NEW),
    ],
)
def test_a_version_from_far_ahead_is_refused_and_changes_nothing(tmp_path, trusted, floor, version, verdict):
    store = with_accepted(tmp_path, trusted) if trusted else PolicyStore(tmp_path)
    answer = store.offer(NEW, version, digest_of(NEW), floor)
    assert answer.verdict is verdict
    assert PolicyStore(tmp_path).trusted_version == (version if verdict is Verdict.NEW else trusted)
    if verdict is Verdict.REFUSED:
        assert "too far ahead" in answer.reason
        assert "tidegate policy trusted" in answer.reason
        assert offer(store, trusted + 1, NEW).verdict is Verdict.NEW


def test_a_device_that_an_earlier_release_locked_is_opened_by_hand(tmp_path):
    state = {
        "format": 1,
        "trusted": {"version": 2**53 - 1, "digest": digest_of(NEW), "outcome": "rolled_back", "reason": "invalid"},
        "accepted": {"text": OLD, "version": 7, "digest": digest_of(OLD)},
        "trial": None,
    }
    (tmp_path / "policies.json").write_text(json.dumps(state))
    store = PolicyStore(tmp_path)
    assert offer(store, 8, NEW).verdict is Verdict.REFUSED
    store.set_trusted(7)
    store = PolicyStore(tmp_path)
    assert (store.accepted.version, store.trusted_version) == (7, 7)
    assert offer(store, 7, OLD).verdict is Verdict.ALREADY_THERE
    assert offer(store, 8, NEW).verdict is Verdict.NEW


def test_the_trusted_version_is_set_by_hand_within_its_bounds_and_not_during_a_trial(tmp_path):
    store = with_accepted(tmp_path, 7)
    store.set_trusted(0)
    assert PolicyStore(tmp_path).trusted_version == 0
    for version in (-1, 2**53):
        with pytest.raises(WrongStateError, match="allowed are 0 to"):
            store.set_trusted(version)
    offer(store, 8, NEW)
    store.begin_trial(NEW)
    with pytest.raises(WrongStateError, match="on trial"):
        store.set_trusted(1)


def test_the_accepted_policy_comes_again_without_raising_what_was_set_by_hand(tmp_path):
    store = with_accepted(tmp_path, 900)
    store.set_trusted(3)
    assert offer(store, 900, OLD).verdict is Verdict.ALREADY_THERE
    assert PolicyStore(tmp_path).trusted_version == 3
    assert offer(store, 4, NEW).verdict is Verdict.NEW


def test_a_policy_taken_back_gives_way_to_the_one_before_it_and_is_not_new_again(tmp_path):
    store = with_accepted(tmp_path, 7)
    offer(store, 8, NEW)
    store.begin_trial(NEW)
    store.accept()
    store.take_back("its workers keep ending")
    store = PolicyStore(tmp_path)
    assert (store.accepted.version, store.previous, store.trusted_version) == (7, None, 8)
    again = offer(store, 8, NEW)
    assert again.verdict is Verdict.ALREADY_THERE
    assert again.reason == "version 8 is already there, rolled back: its workers keep ending"
    assert store.verdict(8, digest_of(NEW)).reason == "its workers keep ending"
    store.take_back("so do these")
    assert PolicyStore(tmp_path).accepted is None


# What a full disk does to each step: (trusted version, accepted version, offered again, not on the disk yet).
FULL = {
    "offer": (lambda store: offer(store, 2, NEW), (1, 1, False, False)),
    "begin_trial": (lambda store: store.begin_trial(NEW), (2, 1, True, False)),
    "accept": (lambda store: store.accept(), (2, 1, True, True)),
    "roll_back": (lambda store: store.roll_back("canaries disagree"), (2, 1, False, True)),
    "take_back": (lambda store: store.take_back("workers end"), (1, 0, False, True)),
    "set_trusted": (lambda store: store.set_trusted(1), (2, 1, True, False)),
}


@pytest.mark.parametrize("step", FULL)
@pytest.mark.parametrize("number", [28, 5])
def test_a_disk_that_refuses_shuts_no_push_out(tmp_path, monkeypatch, step, number):
    act, (trusted, accepted, offered, unsaved) = FULL[step]
    store = prepared(tmp_path, {"set_trusted": "begin_trial", "take_back": "offer"}.get(step, step))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
        if step in {"roll_back", "take_back"}:
            act(store)
        else:
            with pytest.raises(StoreError, match=os.strerror(number)):
                act(store)
        if step == "accept":
            store.put_off()
        assert not (tmp_path / "policies.json.new").exists()
        assert (store.trusted_version, 0 if store.accepted is None else store.accepted.version) == (
            trusted,
            accepted,
        )
        assert (store.offered(2, digest_of(NEW)), store.unsaved, store.trial) == (offered, unsaved, None)
        assert store.settle() is not unsaved
    assert store.settle()
    assert not store.unsaved
    version = store.trusted_version + (0 if offered else 1)
    assert offer(store, version, NEW).verdict is Verdict.NEW
    store.begin_trial(NEW)
    store.accept()
    assert PolicyStore(tmp_path).accepted.version == version


def test_a_full_disk_keeps_the_state(tmp_path, monkeypatch):
    store = with_accepted(tmp_path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        offer(store, 2, NEW)
    monkeypatch.undo()
    assert store.trusted_version == 1
    assert PolicyStore(tmp_path).accepted.version == 1


# Each step, the store's answer before it and after it: (trusted version, accepted version, on trial).
STEPS = {
    "offer": (lambda store: offer(store, 2, NEW), (1, 1), (2, 1)),
    "begin_trial": (lambda store: store.begin_trial(NEW), (2, 1), (2, 1)),
    "accept": (lambda store: store.accept(), (2, 1), (2, 2)),
    "roll_back": (lambda store: store.roll_back("canaries disagree"), (2, 1), (2, 1)),
    "put_off": (lambda store: store.put_off(), (2, 1), (2, 1)),
    "take_back": (lambda store: store.take_back("its workers keep ending"), (2, 2), (2, 1)),
    "set_trusted": (lambda store: store.set_trusted(1), (2, 1), (1, 1)),
    "recover": (None, (2, 1), (2, 1)),
}
BOUNDARIES = ("before the write", "half written", "before the rename", "after the rename", "after the last sync")


def prepared(directory, step):
    store = with_accepted(directory)
    if step != "offer":
        offer(store, 2, NEW)
    if step in {"accept", "roll_back", "recover", "put_off", "take_back"}:
        store.begin_trial(NEW)
    if step == "take_back":
        store.accept()
    return store


def stop_at(boundary, monkeypatch):
    """Stop the process at a boundary of the atomic write; half of the draft's bytes are lost where it says so."""
    fsync, replace, opened, syncs = os.fsync, Path.replace, Path.open, []

    def stopping_open(path, mode="r", **options):
        if "w" in mode and boundary == "before the write":
            raise Stopped
        return opened(path, mode, **options)

    def stopping_fsync(descriptor):
        syncs.append(descriptor)
        if boundary == "half written":
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            raise Stopped
        fsync(descriptor)
        if boundary == "after the last sync" and len(syncs) == 2:
            raise Stopped

    def stopping_replace(path, target):
        if boundary == "before the rename":
            raise Stopped
        replace(path, target)
        if boundary == "after the rename":
            raise Stopped

    monkeypatch.setattr(Path, "open", stopping_open)
    monkeypatch.setattr(os, "fsync", stopping_fsync)
    monkeypatch.setattr(Path, "replace", stopping_replace)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_stop_anywhere_leaves_the_state_before_or_after(tmp_path, monkeypatch, step, boundary):
    act, before, after = STEPS[step]
    store = prepared(tmp_path, step)
    with monkeypatch.context() as patch:
        stop_at(boundary, patch)
        with pytest.raises(Stopped):
            act(store) if act else PolicyStore(tmp_path)

    done = boundary in {"after the rename", "after the last sync"}
    store = PolicyStore(tmp_path)
    assert (store.trusted_version, store.accepted.version) == (after if done else before)
    assert store.accepted.text == (NEW if store.accepted.version == 2 else OLD)
    assert store.trial is None
    on_trial = (step == "begin_trial" and done) or (
        step in {"accept", "roll_back", "recover", "put_off"} and not done
    )
    assert (store.recovered is not None) is on_trial

    # Whatever was lost, the way forward is open: a higher version is accepted.
    assert offer(store, 3, NEW).verdict is Verdict.NEW
    store.begin_trial(NEW)
    assert store.accept().version == 3
