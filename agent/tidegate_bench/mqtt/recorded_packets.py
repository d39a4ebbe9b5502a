"""What a device published and a broker acknowledged, read off the bytes between them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

# Control packet types and flags of MQTT 5, sections 2.1.2, 3.3.1 and 3.4.
_PUBLISH, _PUBACK = 3, 4
_FAILURE = 0x80


@dataclass(frozen=True, slots=True)
class Published:
    """A PUBLISH of QoS 1."""

    topic: str
    payload: bytes


@dataclass(slots=True)
class Record:
    """What passed: `sent` to the broker, and `acknowledged` by it, whether or not the device gets its PUBACK."""

    sent: list[Published] = field(default_factory=list)
    acknowledged: list[Published] = field(default_factory=list)


@dataclass(slots=True)
class Recorder:
    """Reads one connection into a record."""

    record: Record
    _from_device: bytearray = field(default_factory=bytearray)
    _from_broker: bytearray = field(default_factory=bytearray)
    _in_flight: dict[int, Published] = field(default_factory=dict)

    def device_says(self, data: bytes) -> None:
        """Bytes on their way to the broker."""
        for kind, flags, body in _packets(self._from_device, data):
            if kind == _PUBLISH and flags & 0b0110 == 0b0010:
                length = int.from_bytes(body[:2], "big")
                packet_id = int.from_bytes(body[2 + length : 4 + length], "big")
                size, start = _variable(body, 4 + length) or (0, len(body))
                published = Published(body[2 : 2 + length].decode(), body[start + size :])
                self._in_flight[packet_id] = published
                self.record.sent.append(published)

    def broker_says(self, data: bytes) -> None:
        """Bytes on their way to the device."""
        for kind, _, body in _packets(self._from_broker, data):
            if kind == _PUBACK:
                published = self._in_flight.pop(int.from_bytes(body[:2], "big"), None)
                if published is not None and (len(body) < 3 or body[2] < _FAILURE):
                    self.record.acknowledged.append(published)


def _packets(held: bytearray, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    held += data
    while len(held) >= 2:
        found = _variable(held, 1)
        if found is None or len(held) < found[1] + found[0]:
            return
        size, start = found
        yield held[0] >> 4, held[0] & 0x0F, bytes(held[start : start + size])
        del held[: start + size]


def _variable(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer and where it ends; None while it is not all there (MQTT 5, section 1.5.5)."""
    value = 0
    for place in range(4):
        if at + place >= len(data):
            return None
        value |= (data[at + place] & 0x7F) << (7 * place)
        if not data[at + place] & 0x80:
            return value, at + place + 1
    raise ValueError("no variable byte integer")
