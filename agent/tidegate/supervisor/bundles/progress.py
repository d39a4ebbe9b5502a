"""Where pushed bundles have got to, as one frozen state. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidegate.supervisor.bundles.slots import Slots
from tidegate.supervisor.updates.outcome import (
    Accepted,
    Deferred,
    Rejected,
    Repeated,
    RolledBack,
    UpdateResult,
    reported_as,
)
from tidegate.telemetry.payloads.bundle_envelope import BundlePush
from tidegate.telemetry.payloads.reported import PastVerdict, PolicyState
from tidegate.trust.ratchet import Outcome
from tidegate.trust.refusal import Refusal


@dataclass(frozen=True, slots=True)
class BundleProgress:
    """`push` is the last bundle that is or was taken in, `refused` the last that was not; None without any.

    `refusals` counts by kind since the start, `verdicts` are the last ones, newest first.
    """

    push: PolicyState | None = None
    refused: PolicyState | None = None
    refusals: Mapping[Refusal, int] = field(default_factory=dict)
    verdicts: tuple[PastVerdict, ...] = ()


def at_start(slots: Slots, verdicts: tuple[PastVerdict, ...]) -> BundleProgress:
    """What the slots say of the last push; which push of it that was, the broker will tell."""
    trusted, push = slots.trusted, None
    if trusted is not None and trusted.digest:
        states = {Outcome.ACCEPTED: "accepted", Outcome.ROLLED_BACK: "rolled_back"}
        state = states.get(trusted.outcome, "trial")
        push = PolicyState(trusted.version, trusted.digest, state, trusted.reason)  # type: ignore[arg-type]  # one of its words
    return BundleProgress(push, verdicts=verdicts)


def taken_in(progress: BundleProgress, push: BundlePush, doing: str) -> BundleProgress:
    """A push was trusted, or has got further; `doing` says how far."""
    return replace(
        progress, push=PolicyState(push.version, push.hash, "trial", doing, push_id=push.push_id), refused=None
    )


def after(progress: BundleProgress, result: UpdateResult, push_id: str) -> BundleProgress:
    """Once a result is known of the push with this id."""
    push = progress.push
    match result:
        case Accepted(version, digest, name):
            state = PolicyState(version, digest, "accepted", "", name, push_id)
            return replace(progress, push=state, refused=None)
        case Rejected(refusal=kind):
            refusals = {**progress.refusals, kind: progress.refusals.get(kind, 0) + 1}
            return replace(progress, refused=replace(reported_as(result), push_id=push_id), refusals=refusals)
        case Repeated(version, digest, None):
            same = push is not None and (push.version, push.hash) == (version, digest)
            state = push if push is not None and same else PolicyState(version, digest, "accepted")
            return replace(progress, push=replace(state, push_id=push_id), refused=None)
        case RolledBack() | Deferred() | Repeated():
            return replace(progress, push=replace(reported_as(result), push_id=push_id))
