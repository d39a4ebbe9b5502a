"""A bundle as it was pushed, read: the manifest, who signed it, and the condition under which it is taken."""

from dataclasses import dataclass

from tidegate.policy.push_condition import PushCondition, read_condition
from tidegate.telemetry.payloads.bundle_envelope import BundlePush, bundle_in
from tidegate.trust.dsse import Envelope


@dataclass(frozen=True, slots=True)
class PushedBundle:
    """`condition` is None for any time."""

    push: BundlePush
    envelope: Envelope
    condition: PushCondition | None


def read_pushed(envelope: Envelope) -> PushedBundle:
    """The push in an envelope. Raises EnvelopeError, DocumentError."""
    push = bundle_in(envelope)
    condition = read_condition(push.when, "when") if push.when else None
    return PushedBundle(push, envelope, condition)
