"""What became of a pushed policy or bundle: a closed set of results, and how each is reported and told. Pure."""

from dataclasses import dataclass

from tidegate.shortened import shortened
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.telemetry.payloads.reported import PolicyState
from tidegate.trust.refusal import Refusal

REASON_LIMIT = 4000
"""Characters of a reason: it travels in `reported` and in an event, and brokers bound what they take."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """It was tried, did no harm, and is in force; `signed_by` names trusted keys, none where unsigned ones do."""

    version: int
    hash: str
    name: str
    signed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """It never ran and nothing has changed; `hash` is empty where its envelope could not be read."""

    version: int
    hash: str
    reason: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class RolledBack:
    """It ran, or was to run again, and does no more; the one before it does."""

    version: int
    hash: str
    reason: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Deferred:
    """It has no verdict yet and is tried again."""

    version: int
    hash: str
    reason: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Repeated:
    """It was pushed again and its verdict stands; `rolled_back` is why it does not run, None when it may."""

    version: int
    hash: str
    rolled_back: str | None = None


UpdateResult = Accepted | Rejected | RolledBack | Deferred | Repeated


@dataclass(frozen=True, slots=True)
class Subject:
    """What was pushed, in a word, and the kind of events about it."""

    word: str
    kind: EventKind


POLICY = Subject("policy", EventKind.POLICY)
BUNDLE = Subject("bundle", EventKind.BUNDLE)


def event_of(result: UpdateResult, subject: Subject) -> Event | None:
    """How a result is told, None for one that was told before."""
    details: dict[str, object] = {"version": result.version}
    match result:
        case Accepted():
            who = f"signed by {', '.join(result.signed_by)}" if result.signed_by else "unsigned"
            text = f"{result.name} version {result.version} is in force, {who}"
            details |= {"state": "accepted", "signed_by": list(result.signed_by)}
            return Event(subject.kind, text, details, source="accepted")
        case Deferred():
            text = f"pushed {subject.word} version {result.version} has to wait: {result.reason}"
            return Event(EventKind.FAULT, text, details, source="push waits")
        case Rejected() | RolledBack():
            reported = reported_as(result)
            how = reported.state.replace("_", " ")
            text = f"pushed {subject.word} version {result.version} {how}: {reported.reason}"
            details |= {"state": reported.state} | ({"refusal": reported.refusal} if reported.refusal else {})
            return Event(subject.kind, text, details, source=reported.state)
        case Repeated():
            return None


def reported_as(result: Rejected | RolledBack | Deferred | Repeated) -> PolicyState:
    """What `reported` says of a result that leaves the push without force."""
    match result:
        case Rejected(version, digest, reason, refusal):
            return PolicyState(version, digest, "refused", shortened(reason, REASON_LIMIT), refusal=refusal)
        case RolledBack(version, digest, reason, name):
            return PolicyState(version, digest, "rolled_back", shortened(reason, REASON_LIMIT), name)
        case Deferred(version, digest, reason, name):
            return PolicyState(version, digest, "trial", shortened(reason, REASON_LIMIT), name)
        case Repeated(version, digest, rolled_back):
            return PolicyState(version, digest, "rolled_back", shortened(rolled_back or "", REASON_LIMIT))
