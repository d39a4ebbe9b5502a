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
    def desired_topics(self) -> tuple[str, ...]:
        """Where policies, trusted keys, bundles and a certificate for this device arrive."""
        groups = (topics.group_policy(group) for group in self.groups)
        policies = (self.topics.policy, *groups, topics.FLEET_POLICY)
        beside = (*map(topics.keys_beside, policies), *map(topics.bundle_beside, policies))
        return (*policies, *beside, self.topics.certificate)
