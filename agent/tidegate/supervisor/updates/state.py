"""Where pushed policies have got to, as one frozen state. Pure."""

from dataclasses import dataclass, replace

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
from tidegate.telemetry.payloads.reported import PolicyState


@dataclass(frozen=True, slots=True)
class UpdatesState:
    """Where pushed policies have got to: the one in force, and the last one that is not, if any.

    `results` counts every result, so that a push that meets the same one again gets its answer again.
    """

    running: Running
    on_trial: bool = False
    refused: PolicyState | None = None
    accepted: int = 0
    results: int = 0


def after(state: UpdatesState, result: UpdateResult) -> UpdatesState:
    """The state once a result is known; whoever brings another policy into force sets `running`."""
    match result:
        case Accepted():
            state = replace(state, refused=None, accepted=state.accepted + 1)
        case Repeated(rolled_back=None):
            pass
        case Rejected() | RolledBack() | Deferred() | Repeated():
            state = replace(state, refused=reported_as(result))
    return replace(state, results=state.results + 1)
