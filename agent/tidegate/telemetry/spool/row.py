"""One document of the spool on its way to the broker, with a checksum against damage on the disk."""

import json
import zlib
from dataclasses import dataclass

from tidegate.telemetry.topics import ROOT

# What a row costs on disk beyond its topic and payload: cell header, numbers, page fill.
ROW_OVERHEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One document waiting for its PUBACK; `payload` is JSON with `seq` in it, `at` Unix time in seconds."""

    seq: int
    topic: str
    payload: bytes
    at: float = 0.0

    @property
    def size_bytes(self) -> int:
        """What it counts for against the spool's bound."""
        return len(self.topic.encode()) + len(self.payload) + ROW_OVERHEAD_BYTES

    @property
    def crc(self) -> int:
        """CRC-32 over everything in it."""
        head = f"{self.seq}\n{self.topic}\n{self.at!r}\n".encode()
        return zlib.crc32(self.payload, zlib.crc32(head))


def row_of(seq: object, topic: object, payload: object, at: object, crc: object) -> Row | None:
    """The row in five columns as SQLite gives them (text as bytes), None unless it is as it was written."""
    row = unchecked_row(seq, topic, payload, at)
    return row if row is not None and row.crc == crc else None


def unchecked_row(seq: object, topic: object, payload: object, at: object) -> Row | None:
    """The row in four columns of the right types, None otherwise."""
    if not isinstance(seq, int) or not isinstance(topic, bytes) or not isinstance(payload, bytes):
        return None
    if not isinstance(at, float):
        return None
    try:
        return Row(seq, topic.decode(), payload, at)
    except UnicodeDecodeError:
        return None


def plausible(row: Row) -> bool:
    """Whether a row without a checksum can be sent: a topic of ours, and JSON that carries the row's number."""
    if not row.topic.startswith(f"{ROOT}/") or set("+#\0") & set(row.topic):
        return False
    try:
        document = json.loads(row.payload)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("seq") == row.seq
