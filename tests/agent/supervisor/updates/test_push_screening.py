"""A table of what arrives in which state: the typed result, or that its text is read and its trial begins."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidegate.policy.store import PolicyStore, digest_of
from tidegate.supervisor.updates.outcome import Rejected, Repeated
from tidegate.supervisor.updates.screening import Known, screen
from tidegate.telemetry.payloads.envelope import PolicyPush, Target
from tidegate.trust.ratchet import MOST_AHEAD
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import NotSigned, Signed

NOW = datetime(2027, 6, 1, tzinfo=UTC)
TOPIC = "tidegate/gate-7/policy"
TEXT = "tidegate: 1\n"


def offered(store: PolicyStore, version: int, text: str = TEXT) -> None:
    store.offer(text, version, digest_of(text))


def on_trial(store: PolicyStore, version: int) -> None:
    offered(store, version)
    store.begin_trial(TEXT)


def accepted(store: PolicyStore, version: int) -> None:
    on_trial(store, version)
    store.accept()


def rolled_back(store: PolicyStore, version: int) -> None:
    on_trial(store, version)
    store.roll_back("it did harm")


def put_off(store: PolicyStore, version: int) -> None:
    on_trial(store, version)
    store.put_off()


def taken_back(store: PolicyStore, version: int) -> None:
    accepted(store, version)
    store.take_back("its workers ended")


def set_by_hand(store: PolicyStore, version: int) -> None:
    accepted(store, version)
    store.set_trusted(version - 2)


def nothing(_store: PolicyStore, _version: int) -> None:
    """No push has ever come."""


STATES: dict[str, Callable[[PolicyStore, int], None]] = {
    "nothing": nothing,
    "offered": offered,
    "trial": on_trial,
    "put off": put_off,
    "accepted": accepted,
    "rolled back": rolled_back,
    "taken back": taken_back,
    "set to 3": set_by_hand,
}

AT = 5
"""The version that each state but `nothing` is about."""
PLAIN = PolicyPush(TEXT, AT, Target("device", "gate-7"), None)
OTHER_TEXT = replace(PLAIN, policy="# \n")
ARRIVALS = {
    "older": replace(PLAIN, version=2),
    "one below": replace(PLAIN, version=AT - 1),
    "the same": PLAIN,
    "other text": OTHER_TEXT,
    "newer": replace(PLAIN, version=AT + 1),
    "far ahead": replace(PLAIN, version=AT + MOST_AHEAD + 1),
    "newer, unsigned": replace(PLAIN, version=AT + 1),
    "newer, of another": replace(PLAIN, version=AT + 1, target=Target("device", "gate-8")),
    "newer, expired": replace(PLAIN, version=AT + 1, expires=NOW - timedelta(seconds=1)),
    "newer, in time": replace(PLAIN, version=AT + 1, expires=NOW),
    "the same, expired": replace(PLAIN, expires=NOW - timedelta(seconds=1)),
}


@dataclass(frozen=True)
class Reject:
    """A rejection of this kind whose reason holds this."""

    word: str
    refusal: Refusal


READ = None
OLDER = Reject("older than the trusted version", Refusal.DOWNGRADE)
OTHER = Reject("already trusted with another text", Refusal.OTHER_TEXT)
EXPIRED, HARM, ENDED = Reject("it expired at", Refusal.EXPIRED), "it did harm", "its workers ended"
# What does not depend on the state: signature, address and distance come first.
ALWAYS: dict[str, object] = {
    "far ahead": Reject("too far ahead", Refusal.TOO_FAR_AHEAD),
    "newer, unsigned": Reject("it is not signed", Refusal.NOT_SIGNED),
    "newer, of another": Reject("it is addressed to", Refusal.WRONG_TARGET),
    "newer, expired": EXPIRED,
    "newer, in time": READ,
    "newer": READ,
}
KNOWN_ALREADY: dict[str, object] = {"older": OLDER, "one below": OLDER, "other text": OTHER}
# By state, then by what arrives: READ, a rejection, or the words with which an old verdict is repeated.
TABLE: dict[str, dict[str, object]] = {
    "nothing": {
        "older": READ, "one below": READ, "the same": READ, "other text": READ, "the same, expired": EXPIRED,
    },
    "offered": KNOWN_ALREADY | {"the same": READ, "the same, expired": EXPIRED},
    "put off": KNOWN_ALREADY | {"the same": READ, "the same, expired": EXPIRED},
    "trial": KNOWN_ALREADY | {"the same": "", "the same, expired": ""},
    "accepted": KNOWN_ALREADY | {"the same": "", "the same, expired": ""},
    "rolled back": KNOWN_ALREADY | {"the same": HARM, "the same, expired": HARM},
    "taken back": KNOWN_ALREADY | {"the same": ENDED, "the same, expired": ENDED},
    "set to 3": {
        "older": OLDER, "one below": READ, "the same": "", "other text": READ, "the same, expired": "",
    },
}  # fmt: skip


SIGNED, UNSIGNED = Signed(("ops",)), NotSigned(Refusal.NOT_SIGNED, "it is not signed")


def known(
    store: PolicyStore,
    push: PolicyPush,
    *,
    signed: Signed | NotSigned = SIGNED,
    allow_unsigned: bool = False,
    floor: int = 0,
) -> Known:
    taken = store.verdict(push.version, push.hash)
    return Known(
        offer=store.judge(push.version, push.hash, floor),
        rolled_back=None if taken is None else taken.reason,
        now=NOW,
        clock_problem="the clock was set back",
        signed=signed,
        allow_unsigned=allow_unsigned,
    )


def test_the_table_has_every_state_and_every_arrival() -> None:
    assert TABLE.keys() == STATES.keys()
    assert all((ALWAYS | row).keys() == ARRIVALS.keys() for row in TABLE.values())


@pytest.mark.parametrize("state", STATES)
def test_what_arrives_in_which_state(tmp_path: Path, state: str) -> None:
    store = PolicyStore(tmp_path)
    STATES[state](store, AT)
    before = [path.read_bytes() for path in tmp_path.iterdir()]
    for arrival, expected in (ALWAYS | TABLE[state]).items():
        push = ARRIVALS[arrival]
        result = screen(push, TOPIC, known(store, push, signed=UNSIGNED if "unsigned" in arrival else SIGNED))
        match expected:
            case None:
                assert result is None, arrival
            case Reject(word, refusal):
                assert isinstance(result, Rejected), arrival
                assert result.refusal is refusal
                assert (result.version, result.hash) == (push.version, push.hash)
                assert word in result.reason
            case str(reason):
                assert result == Repeated(push.version, push.hash, reason or None), arrival
    assert [path.read_bytes() for path in tmp_path.iterdir()] == before, "nothing is written"


def test_a_trial_that_was_cut_short_counts_as_rolled_back_at_the_next_start(tmp_path: Path) -> None:
    on_trial(PolicyStore(tmp_path), AT)
    store = PolicyStore(tmp_path)
    result = screen(PLAIN, TOPIC, known(store, PLAIN))
    assert result == Repeated(AT, PLAIN.hash, "the service stopped during its trial")


def test_who_allows_unsigned_pushes_gets_them_read(tmp_path: Path) -> None:
    push = ARRIVALS["newer, unsigned"]
    assert screen(push, TOPIC, known(PolicyStore(tmp_path), push, signed=UNSIGNED, allow_unsigned=True)) is None


def test_the_local_policys_version_counts_for_the_distance_of_a_push(tmp_path: Path) -> None:
    push, store = ARRIVALS["far ahead"], PolicyStore(tmp_path)
    assert isinstance(screen(push, TOPIC, known(store, push)), Rejected)
    assert screen(push, TOPIC, known(store, push, floor=AT + 1)) is None


def test_a_clock_that_is_wrong_is_named_where_it_counts(tmp_path: Path) -> None:
    push = ARRIVALS["newer, expired"]
    result = screen(push, TOPIC, known(PolicyStore(tmp_path), push))
    assert isinstance(result, Rejected)
    assert "2027-05-31T23:59:59+00:00 (the clock was set back); push it again" in result.reason
