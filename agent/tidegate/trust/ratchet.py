"""Versions that only grow: what a push is worth against the highest version that was ever trusted. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.trust.refusal import Refusal

MOST_AHEAD = 1 << 32
"""How far a push may raise the trusted version at once.

More than any counter, date (20261127) or Unix time in seconds needs, also after years without a connection; and so
little of the 2^53 that no single push, nor a thousand, leaves no version above itself.
"""


class Verdict(StrEnum):
    """The answer to an offered version."""

    NEW = "new"
    ALREADY_THERE = "already_there"
    REFUSED = "refused"


class Outcome(StrEnum):
    """How far the newest trusted version got. OFFERED: trusted, not yet on trial; an equal offer resumes it."""

    OFFERED = "offered"
    TRIAL = "trial"
    ACCEPTED = "accepted"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Offer:
    """The answer to an offer, with its reason in words; `refusal` is the kind of a REFUSED one."""

    verdict: Verdict
    reason: str
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Trusted:
    """The highest version that was ever trusted, the hash that came with it, and what became of it."""

    version: int
    digest: str
    outcome: Outcome
    reason: str = ""


def judge_version(trusted: Trusted | None, version: int, digest: str, *, floor: int, hint: str) -> Offer:
    """What an offer is worth. `floor` is a version that is known without any push, `hint` how to allow a jump."""
    known = max(floor, 0 if trusted is None else trusted.version)
    if version > known + MOST_AHEAD:
        most = f"it may be at most {MOST_AHEAD} above {known}, the highest version known here"
        return Offer(Verdict.REFUSED, f"version {version} is too far ahead: {most}; {hint}", Refusal.TOO_FAR_AHEAD)
    if trusted is None or version > trusted.version:
        return Offer(Verdict.NEW, f"version {version} is new")
    if version < trusted.version:
        reason = f"version {version} is older than the trusted version {trusted.version}"
        return Offer(Verdict.REFUSED, reason, Refusal.DOWNGRADE)
    if digest != trusted.digest:
        return Offer(
            Verdict.REFUSED, f"version {version} is already trusted with another text", Refusal.OTHER_TEXT
        )
    if trusted.outcome is Outcome.OFFERED:
        return Offer(Verdict.NEW, f"version {version} was offered before and not tried yet")
    became = trusted.outcome.replace("_", " ") + (f": {trusted.reason}" if trusted.reason else "")
    return Offer(Verdict.ALREADY_THERE, f"version {version} is already there, {became}")
