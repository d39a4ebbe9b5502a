"""One publication on its way out."""

from dataclasses import dataclass

# Fixed header, topic length, packet id and an empty property list (MQTT 5, section 3.3), at their largest.
PUBLISH_OVERHEAD_BYTES = 10


@dataclass(frozen=True, slots=True)
class Message:
    """One QoS 1 publication; `seq` names the spooled row, None is a retained document."""

    topic: str
    payload: bytes
    seq: int | None = None

    @property
    def retain(self) -> bool:
        """Whether the broker keeps it for later subscribers."""
        return self.seq is None

    @property
    def packet_bytes(self) -> int:
        """Upper bound of its size as an MQTT packet."""
        return len(self.topic.encode()) + len(self.payload) + PUBLISH_OVERHEAD_BYTES
