"""What is decided of a push before its text is read: whom it is from and for, its version, its time. Pure."""

from dataclasses import dataclass
from datetime import datetime

from tidegate.policy.store import Offer, Verdict
from tidegate.supervisor.updates.outcome import Rejected, Repeated
from tidegate.telemetry.payloads.envelope import PolicyPush


@dataclass(frozen=True, slots=True)
class Known:
    """What a push is held against.

    `offer` is what the store makes of its version and hash, `rolled_back` why the store took just this policy back
    (None: it did not), `now` the latest time known here, and `clock_problem` what is wrong with the clock, if
    anything.
    """

    offer: Offer
    rolled_back: str | None
    now: datetime
    clock_problem: str
    allow_unsigned: bool


def screen(push: PolicyPush, topic: str, known: Known) -> Rejected | Repeated | None:
    """The result of a push that came on `topic`; None when its text is to be read. Changes nothing."""
    if not push.signed and not known.allow_unsigned:
        return _rejected(
            push, "it is not signed; set `allow_unsigned: true` in agent.yaml to trust whoever may publish there"
        )
    if push.target.topic != topic:
        return _rejected(push, f"it is addressed to {push.target.topic} and came on {topic}")
    match known.offer.verdict:
        case Verdict.ALREADY_THERE:
            return Repeated(push.version, push.hash, known.rolled_back)
        case Verdict.REFUSED:
            return _rejected(push, known.offer.reason)
        case Verdict.NEW:
            return _expired(push, known)


def _expired(push: PolicyPush, known: Known) -> Rejected | None:
    if push.expires is None or push.expires >= known.now:
        return None
    because = f" ({known.clock_problem})" if known.clock_problem else ""
    return _rejected(push, f"it expired at {push.expires.isoformat()}{because}; push it again with a later expiry")


def _rejected(push: PolicyPush, reason: str) -> Rejected:
    return Rejected(push.version, push.hash, reason)
