"""The store's states, and a stop at every write within every step."""

import os
from pathlib import Path

import pytest

from agent.policy.store import PolicyStore, StoreError, Verdict, WrongStateError, digest_of

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


def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path):
    with_accepted(tmp_path)
    (tmp_path / "policies.json").write_text('{"format": 1, "trusted": ')
    with pytest.raises(StoreError, match=r"policies.json: damaged; restore it, or remove it"):
        PolicyStore(tmp_path)


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
    "recover": (None, (2, 1), (2, 1)),
}
BOUNDARIES = ("before the write", "half written", "before the rename", "after the rename", "after the last sync")


def prepared(directory, step):
    store = with_accepted(directory)
    if step != "offer":
        offer(store, 2, NEW)
    if step in {"accept", "roll_back", "recover"}:
        store.begin_trial(NEW)
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
    on_trial = (step == "begin_trial" and done) or (step in {"accept", "roll_back", "recover"} and not done)
    assert (store.recovered is not None) is on_trial

    # Whatever was lost, the way forward is open: a higher version is accepted.
    assert offer(store, 3, NEW).verdict is Verdict.NEW
    store.begin_trial(NEW)
    assert store.accept().version == 3
