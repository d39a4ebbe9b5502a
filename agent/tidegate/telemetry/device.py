"""Who a device is on MQTT."""

from dataclasses import dataclass

from tidegate.telemetry import topics


@dataclass(frozen=True, slots=True)
class Device:
    """Who speaks: id and groups become topics (TopicError if they cannot), `session` numbers this start."""

    id: str
    groups: tuple[str, ...]
    session: int

    def __post_init__(self) -> None:
        topics.DeviceTopics(self.id)
        for group in self.groups:
            topics.group_policy(group)

    @property
    def topics(self) -> topics.DeviceTopics:
        """The device's own topics."""
        return topics.DeviceTopics(self.id)

    @property
    def policy_topics(self) -> tuple[str, ...]:
        """Where policies for this device arrive."""
        return (self.topics.policy, *(topics.group_policy(group) for group in self.groups), topics.FLEET_POLICY)
