"""Where pushed policies have got to, as one frozen state. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidegate.supervisor.updates.outcome import (
    Accepted,
    Deferred,
    Rejected,
    Repeated,
    RolledBack,
    UpdateResult,
    reported_as,
)
from tidegate.supervisor.updates.pushed_policy import Running
from tidegate.telemetry.payloads.envelope import PolicyPush
from tidegate.telemetry.payloads.reported import PastVerdict, PolicyState
from tidegate.trust.refusal import Refusal


@dataclass(frozen=True, slots=True)
class UpdatesState:
    """Where pushed policies have got to: the one in force, and the last one that is not, if any.

    `results` counts every result, so that a push that meets the same one again gets its answer again. `push_ids`
    are those of the last judged pushes, by version and hash. `refusals` counts by kind since the start,
    `verdicts` are the last ones, newest first.
    """

    running: Running
    on_trial: bool = False
    refused: PolicyState | None = None
    accepted: int = 0
    results: int = 0
    refusals: Mapping[Refusal, int] = field(default_factory=dict)
    verdicts: tuple[PastVerdict, ...] = ()
    push_ids: Mapping[tuple[int, str], str] = field(default_factory=dict)

    def push_id(self, version: int, digest: str) -> str:
        """Of the last push of this policy that was judged; empty where it is unknown."""
        return self.push_ids.get((version, digest), "")


def judged(state: UpdatesState, push: PolicyPush, *, is_new: bool) -> UpdatesState:
    """The state in which verdicts on the policy answer this push; one that `is_new` has none yet."""
    policy = push.version, push.hash
    refused = state.refused
    if is_new and refused is not None and (refused.version, refused.hash) == policy:
        refused = None
    used = {(state.running.policy.version, state.running.digest)}
    used |= set() if refused is None else {(refused.version, refused.hash)}
    kept = {each: push_id for each, push_id in state.push_ids.items() if each in used}
    return replace(state, refused=refused, push_ids={**kept, policy: push.push_id})


def after(state: UpdatesState, result: UpdateResult) -> UpdatesState:
    """The state once a result is known; whoever brings another policy into force sets `running`."""
    match result:
        case Accepted():
            state = replace(state, refused=None, accepted=state.accepted + 1)
        case Repeated(version, digest, None):
            if state.refused is not None and (state.refused.version, state.refused.hash) == (version, digest):
                # Somebody else's push of the policy in force was refused; this one is not.
                state = replace(state, refused=None)
        case Rejected(refusal=kind):
            refusals = {**state.refusals, kind: state.refusals.get(kind, 0) + 1}
            state = replace(state, refused=reported_as(result), refusals=refusals)
        case RolledBack() | Deferred() | Repeated():
            state = replace(state, refused=reported_as(result))
    return replace(state, results=state.results + 1)
