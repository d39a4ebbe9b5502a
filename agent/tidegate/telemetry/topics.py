"""The MQTT topics of a device, a group and the fleet (docs/mqtt.md lists them)."""

import re
from dataclasses import dataclass

from tidegate.errors import EX_USAGE, TidegateError

ROOT = "tidegate"
FLEET_POLICY = f"{ROOT}/fleet/policy"
NAME_LIMIT = 64

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_LIMIT - 1}}}")
_RESERVED = frozenset({"group", "fleet"})


class TopicError(TidegateError, ValueError):
    """A device id or group name that cannot be a topic level."""

    exit_code = EX_USAGE


def checked_name(name: str, what: str) -> str:
    """`name` itself if it can be one level of a topic; `what` names it in the TopicError raised otherwise."""
    if not _NAME.fullmatch(name):
        msg = (
            f"{what}: found {name[:80]!r}; allowed are 1 to {NAME_LIMIT} letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit, because '/', '+' and '#' are syntax in MQTT topics"
        )
        raise TopicError(msg)
    return name


@dataclass(frozen=True, slots=True)
class DeviceTopics:
    """The topics of one device. Raises TopicError for an id that cannot be a topic level."""

    device: str

    def __post_init__(self) -> None:
        checked_name(self.device, "device id")
        if self.device in _RESERVED:
            msg = (
                f"device id: found {self.device!r}, whose topics would be those of all devices; "
                f"allowed is any name but {', '.join(sorted(_RESERVED))}"
            )
            raise TopicError(msg)

    @property
    def status(self) -> str:
        """Retained; also the Will."""
        return f"{ROOT}/{self.device}/status"

    @property
    def telemetry(self) -> str:
        """Windows of readings, from the spool."""
        return f"{ROOT}/{self.device}/telemetry"

    @property
    def event(self) -> str:
        """Decisions, switches, faults, from the spool."""
        return f"{ROOT}/{self.device}/event"

    @property
    def reported(self) -> str:
        """Retained: what the device runs now."""
        return f"{ROOT}/{self.device}/reported"

    @property
    def inputs(self) -> str:
        """The filter of all numbers that outside sources send, each on a topic of its own."""
        return f"{ROOT}/{self.device}/input/+"

    def input_of(self, topic: str) -> str | None:
        """The name of the input that a topic is of; None for any other topic."""
        prefix = self.inputs.removesuffix("+")
        return topic.removeprefix(prefix) if topic.startswith(prefix) else None

    @property
    def hold(self) -> str:
        """Commands to hold an operating point, never retained."""
        return f"{ROOT}/{self.device}/command/hold"

    @property
    def policy(self) -> str:
        """Retained: what the device should run."""
        return f"{ROOT}/{self.device}/policy"

    @property
    def certificate(self) -> str:
        """Retained: the certificate of the device's place that it should go by."""
        return f"{ROOT}/{self.device}/certificate"

    @property
    def chunks_wanted(self) -> str:
        """Retained: which chunks of a pushed bundle the device asks for now."""
        return f"{bundle_beside(self.policy)}/wanted"

    @property
    def chunk(self) -> str:
        """Where the chunks that it asked for arrive."""
        return f"{bundle_beside(self.policy)}/chunk"


def group_policy(group: str) -> str:
    """The desired policy of every device in `group`. Raises TopicError for an impossible name."""
    return f"{ROOT}/group/{checked_name(group, 'group name')}/policy"


def keys_beside(policy_topic: str) -> str:
    """Where the trusted keys of whom a policy topic is for are retained."""
    return f"{policy_topic.removesuffix('policy')}keys"


def bundle_beside(policy_topic: str) -> str:
    """Where the desired bundle of whom a policy topic is for is retained."""
    return f"{policy_topic.removesuffix('policy')}bundle"


def is_bundle(topic: str) -> bool:
    """Whether a topic is one that bundles are pushed to."""
    return topic.endswith("/bundle")


def is_certificate(topic: str) -> bool:
    """Whether a topic is one that certificates are pushed to."""
    return topic.endswith("/certificate")


def is_keys(topic: str) -> bool:
    """Whether a topic is one that trusted keys arrive on."""
    return topic.endswith("/keys")
