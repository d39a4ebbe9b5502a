"""How far a rollout is: retained at the broker and signed, so that any desk with the key can go on with it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.telemetry.payloads.envelope import Target
from tidegate.telemetry.topics import ROOT
from tidegate.trust.dsse import DsseError, Envelope, parse_envelope
from tidegate.trust.keys import PublicKey
from tidegate.trust.signer import Signer
from tidegate.validation_words import in_words

PAYLOAD_TYPE = "application/vnd.tidegate.rollout+json"
MAX_BYTES = 1 << 20


class RolloutStateError(TidegateError):
    """What is retained is no state of a rollout, or not signed by this operator."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class RolloutState:
    """`stages` are names of devices; `stage` is the one under way, or how many there are once it is done.

    `hash` is that of the policy or bundle that is rolled out, `demoted_before` what was off the ladder before, by
    device, and `before` what devices measured before they were pushed to, by name of the measure. `desk` tells the
    command that is at it from others, and `unknown` is what could not be judged.
    """

    what: str
    version: int
    hash: str
    stages: tuple[tuple[str, ...], ...]
    demoted_before: dict[str, tuple[str, ...]]
    stage: int = 0
    state: Literal["running", "halted", "done"] = "running"
    reason: str = ""
    desk: str = ""
    before: dict[str, dict[str, float]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be done."""
        return self.state != "running"


def rollout_topic(target: Target) -> str:
    """Where the state of rollouts to a group or the fleet is retained."""
    whose = f"group/{target.name}" if target.kind == "group" else "fleet"
    return f"{ROOT}/{whose}/rollout"


@cache
def _states() -> TypeAdapter[RolloutState]:
    return TypeAdapter(RolloutState)


def sealed(state: RolloutState, keys: Sequence[Signer]) -> bytes:
    """The state as it is retained."""
    return Envelope(PAYLOAD_TYPE, json.dumps(asdict(state)).encode()).signed_by(keys).to_json()


def opened(payload: bytes, keys: Sequence[PublicKey]) -> RolloutState:
    """The state in a retained message. Raises RolloutStateError unless one of these keys has signed it."""
    try:
        envelope = parse_envelope(payload, MAX_BYTES)
    except DsseError as error:
        raise RolloutStateError(f"the rollout's retained state: {error}; clear that topic to begin anew") from None
    message = envelope.signed_bytes
    if not any(key.verifies(message, each.sig) for key in keys for each in envelope.signatures):
        raise RolloutStateError(
            "the rollout's retained state is not signed with a key that was named with --key: go on with the key "
            "of whoever began it, or clear that topic to begin anew"
        )
    try:
        return _states().validate_json(envelope.payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RolloutStateError(
            f"the rollout's retained state: {in_words(first['msg'])}; clear that topic"
        ) from None
