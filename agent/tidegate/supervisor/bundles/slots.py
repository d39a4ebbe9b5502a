"""Two slots for pushed bundles, and which of them holds what, as one frozen state. Pure.

offer -> begin_trial -> accept or give_up. `active` changes in `accept`, `take_back` and `leave` alone, and the
state is replaced whole: whoever reads it finds the old bundle or the new one.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from tidegate.trust.ratchet import Offer, Outcome, Trusted, Verdict, judge_version


class Slot(StrEnum):
    """Where a pushed bundle lies; the other one is free for the next."""

    A = "a"
    B = "b"

    @property
    def other(self) -> "Slot":
        """The one that it is not."""
        return Slot.B if self is Slot.A else Slot.A


@dataclass(frozen=True, slots=True)
class Base:
    """The bundle of agent.yaml that a pushed one stands in for: another one there ends that.

    `sha256` is that of its manifest, empty where it can't be read.
    """

    path: str
    sha256: str

    def replaced_by(self, now: "Base") -> bool:
        """Whether agent.yaml names another bundle now; one that can't be read says nothing."""
        return self.path != now.path or bool(now.sha256 and self.sha256 and self.sha256 != now.sha256)


@dataclass(frozen=True, slots=True)
class Placed:
    """A bundle that was accepted: where it lies, its hash, the version it was pushed as, and who signed it."""

    slot: Slot
    digest: str
    version: int
    signed_by: tuple[str, ...]
    base: Base


@dataclass(frozen=True, slots=True)
class Incoming:
    """A bundle that is taken in or tried: `envelope` is what was pushed, in JSON."""

    slot: Slot
    digest: str
    version: int
    signed_by: tuple[str, ...]
    envelope: str


@dataclass(frozen=True, slots=True)
class Slots:
    """`active` is the pushed bundle in force, None for agent.yaml's; `previous` the one accepted before it."""

    format: Literal[1] = 1
    trusted: Trusted | None = None
    active: Placed | None = None
    previous: Placed | None = None
    incoming: Incoming | None = None
    on_trial: bool = False

    @property
    def used(self) -> frozenset[Slot]:
        """The slots whose content is referred to."""
        return frozenset(each.slot for each in (self.active, self.previous, self.incoming) if each is not None)

    @property
    def free(self) -> Slot:
        """Where the next bundle goes: never where the active one lies."""
        if self.active is not None:
            return self.active.slot.other
        return Slot.A if self.incoming is None else self.incoming.slot


class WrongStateError(Exception):
    """A step that the present state does not allow: a mistake of the caller."""


def judge(slots: Slots, version: int, digest: str) -> Offer:
    """What an offer of this bundle is worth."""
    return judge_version(slots.trusted, version, digest, floor=0, hint="number bundles from there")


def verdict_on(slots: Slots, version: int, digest: str) -> str | None:
    """Why just this bundle was taken back; None where it was not."""
    trusted = slots.trusted
    if trusted is None or (trusted.version, trusted.digest) != (version, digest):
        return None
    return trusted.reason if trusted.outcome is Outcome.ROLLED_BACK else None


def offer(slots: Slots, version: int, digest: str, envelope: str, signed_by: tuple[str, ...]) -> Slots:
    """Trust a valid bundle's version and begin to take it in; one that was still coming in gives way to it."""
    if slots.on_trial or judge(slots, version, digest).verdict is not Verdict.NEW:
        raise WrongStateError("a bundle is on trial, or this one is not new")
    slot = slots.free
    previous = None if slots.previous is not None and slots.previous.slot is slot else slots.previous
    incoming = Incoming(slot, digest, version, signed_by, envelope)
    trusted = Trusted(version, digest, Outcome.OFFERED)
    return replace(slots, trusted=trusted, previous=previous, incoming=incoming)


def confirm(slots: Slots, version: int, digest: str, signed_by: tuple[str, ...]) -> Slots:
    """Trust the version of a bundle that is in force already: there is nothing to take in."""
    if slots.on_trial:
        raise WrongStateError("a bundle is on trial")
    active = slots.active
    if active is not None and active.digest == digest:
        active = replace(active, version=version, signed_by=signed_by)
    return replace(slots, trusted=Trusted(version, digest, Outcome.ACCEPTED), active=active, incoming=None)


def begin_trial(slots: Slots) -> Slots:
    """The bundle has come in whole, and is tried from now on."""
    incoming = _incoming(slots)
    return replace(slots, trusted=Trusted(incoming.version, incoming.digest, Outcome.TRIAL), on_trial=True)


def put_off(slots: Slots) -> Slots:
    """End the trial without a verdict."""
    incoming = _on_trial(slots)
    return replace(slots, trusted=Trusted(incoming.version, incoming.digest, Outcome.OFFERED), on_trial=False)


def accept(slots: Slots, base: Base) -> Slots:
    """Put the bundle on trial in force; the one before it is the way back."""
    incoming = _on_trial(slots)
    placed = Placed(incoming.slot, incoming.digest, incoming.version, incoming.signed_by, base)
    trusted = Trusted(incoming.version, incoming.digest, Outcome.ACCEPTED)
    return Slots(trusted=trusted, active=placed, previous=slots.active)


def give_up(slots: Slots, reason: str) -> Slots:
    """Drop the bundle that comes in or is on trial; what is in force stays."""
    incoming = _incoming(slots)
    trusted = Trusted(incoming.version, incoming.digest, Outcome.ROLLED_BACK, reason)
    return replace(slots, trusted=trusted, incoming=None, on_trial=False)


def take_back(slots: Slots, reason: str) -> Slots:
    """Drop the active bundle: the one before it is in force again, or agent.yaml's."""
    active, trusted = slots.active, slots.trusted
    if active is None or slots.on_trial:
        raise WrongStateError("no pushed bundle is in force, or one is on trial")
    if trusted is not None and (trusted.version, trusted.digest) == (active.version, active.digest):
        trusted = Trusted(active.version, active.digest, Outcome.ROLLED_BACK, reason)
    return replace(slots, trusted=trusted, active=slots.previous, previous=None)


def leave(slots: Slots) -> Slots:
    """agent.yaml's own bundle is in force, since it is another one now."""
    if slots.on_trial:
        raise WrongStateError("a bundle is on trial")
    active, trusted = slots.active, slots.trusted
    if active is not None and trusted is not None and trusted.version == active.version:
        trusted = Trusted(active.version, active.digest, Outcome.ROLLED_BACK, LEFT)
    return replace(slots, trusted=trusted, active=None, previous=None)


def recovered(slots: Slots) -> Slots:
    """What a start makes of the state that it finds: whatever stopped a trial may be the bundle's doing."""
    return give_up(slots, STOPPED) if slots.on_trial else slots


LEFT = "agent.yaml has another bundle since, which is in force"
STOPPED = "the service stopped during its trial"


def _incoming(slots: Slots) -> Incoming:
    if slots.incoming is None:
        raise WrongStateError("no bundle comes in")
    return slots.incoming


def _on_trial(slots: Slots) -> Incoming:
    if not slots.on_trial:
        raise WrongStateError("no bundle is on trial")
    return _incoming(slots)
