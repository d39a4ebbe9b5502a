"""What happened, as data: every event goes to the spool, to the log and to whoever watches."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class EventKind(StrEnum):
    """The kinds of events on the `event` topic."""

    DECISION = "decision"
    SWITCH = "switch"
    ROLLBACK = "rollback"
    POLICY = "policy"
    WORKER = "worker"
    FAULT = "fault"
    CONTROL = "control"
    BUNDLE = "bundle"
    SOCKET = "socket"
    CONFIG = "config"
    UPGRADE = "upgrade"
    SLEEP = "sleep"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, in a sentence, with its particulars; `at` is wall-clock time."""

    kind: EventKind
    text: str
    details: dict[str, object] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    source: str = ""
    """Whose doing it is; events of one kind and source (without one: text) are folded when they come too often."""

    def document(self) -> dict[str, object]:
        """The event as it travels over MQTT and in JSON lines."""
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "kind": self.kind,
            "text": self.text,
            **self.details,
        }
