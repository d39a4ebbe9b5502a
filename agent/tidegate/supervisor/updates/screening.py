"""What is decided of a push before its text is read: whom it is from and for, its version, its time. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tidegate.supervisor.updates.outcome import Rejected, Repeated
from tidegate.trust.ratchet import Offer, Verdict
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import NotSigned, Signed


class Pushed(Protocol):
    """What is screened: a policy or a bundle as it was pushed."""

    @property
    def version(self) -> int:
        """Above that of the last one."""

    @property
    def hash(self) -> str:
        """Of what is pushed."""

    @property
    def topic(self) -> str:
        """Where it belongs."""

    @property
    def expires(self) -> datetime | None:
        """When it is taken no longer."""


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
    signed: Signed | NotSigned
    allow_unsigned: bool
    remedy_unsigned: str = "push it with --key FILE"


def screen(push: Pushed, topic: str, known: Known) -> Rejected | Repeated | None:
    """The result of a push that came on `topic`; None when its text is to be read. Changes nothing."""
    if isinstance(known.signed, NotSigned) and not known.allow_unsigned:
        return _rejected(push, known.signed.refusal, f"{known.signed.reason}; {_remedy(known.signed, known)}")
    if push.topic != topic:
        reason = f"it is addressed to {push.topic} and came on {topic}"
        return _rejected(push, Refusal.WRONG_TARGET, reason)
    match known.offer.verdict:
        case Verdict.ALREADY_THERE:
            return Repeated(push.version, push.hash, known.rolled_back)
        case Verdict.REFUSED:
            return refused_by_store(push, known.offer)
        case Verdict.NEW:
            return _expired(push, known)


def refused_by_store(push: Pushed, offer: Offer) -> Rejected:
    """The result of a push that the store refuses to trust."""
    return _rejected(push, offer.refusal or Refusal.INVALID, offer.reason)


def _remedy(signed: NotSigned, known: Known) -> str:
    return _REMEDIES.get(signed.refusal, known.remedy_unsigned)


_REMEDIES = {
    Refusal.UNKNOWN_KEY: "on the device: tidegate key trust FILE.pub, then tidegate reload",
    Refusal.WRONG_ROLE: "sign with a key that may, or add the role to it in the device's agent.yaml",
    Refusal.BAD_SIGNATURE: "sign and push it again",
    Refusal.TOO_FEW_SIGNERS: "have another of the trusted keys sign it too, with a further --key or `policy sign`",
}


def _expired(push: Pushed, known: Known) -> Rejected | None:
    if push.expires is None or push.expires >= known.now:
        return None
    because = f" ({known.clock_problem})" if known.clock_problem else ""
    reason = f"it expired at {push.expires.isoformat()}{because}; push it again with a later expiry"
    return _rejected(push, Refusal.EXPIRED, reason)


def _rejected(push: Pushed, refusal: Refusal, reason: str) -> Rejected:
    return Rejected(push.version, push.hash, reason, refusal)
