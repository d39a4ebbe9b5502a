"""Which message a broker means that hangs up without a word. Pure: no network and no clock in here."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from tidegate.telemetry.link.message import Message

# Hang-ups in a row over one message until it is sent alone, and until it is given up.
TIMES_TO_ISOLATE = 2
TIMES_TO_REFUSE = 5


@dataclass(slots=True)
class HangUps:
    """Connections in a row that the broker ended soon after their CONNACK, without a DISCONNECT.

    MQTT 5 lets a broker announce the packets that it takes, and say why it ends a connection (sections 3.2.2.3.6
    and 3.14); one that does neither would be sent the same row for ever. The suspect is the largest message
    without an answer, if only smaller ones were answered meanwhile: then neither the network nor a second client
    of the same id is a better explanation.
    """

    _suspect: Message | None = None
    _times: int = 0
    _largest_answered_bytes: int = 0
    _refused_from_bytes: int | None = None

    def answered(self, message: Message) -> None:
        """The broker has taken a message."""
        self._largest_answered_bytes = max(self._largest_answered_bytes, message.packet_bytes)
        if self._refused_from_bytes is not None and message.packet_bytes >= self._refused_from_bytes:
            self._refused_from_bytes = None

    def ended_otherwise(self) -> None:
        """A connection ended late, or with a reason."""
        self._suspect, self._times, self._largest_answered_bytes = None, 0, 0

    def count(self, outstanding: Collection[Message]) -> Literal["nothing", "isolate", "refuse"]:
        """One more hang-up, with these messages unanswered, and what to do about them.

        "refuse" is said only of a single message; one as large as another that was refused needs no repetition.
        """
        suspect = max(outstanding, key=lambda message: message.packet_bytes, default=None)
        if suspect is None or not 0 < self._largest_answered_bytes < suspect.packet_bytes:
            self._suspect, self._times = None, 0
            return "nothing"
        self._times = self._times + 1 if suspect == self._suspect else 1
        self._suspect = suspect
        known = self._refused_from_bytes is not None and suspect.packet_bytes >= self._refused_from_bytes
        if len(outstanding) == 1 and (known or self._times >= TIMES_TO_REFUSE):
            self._refused_from_bytes = suspect.packet_bytes
            self._suspect, self._times = None, 0
            return "refuse"
        return "isolate" if known or self._times >= TIMES_TO_ISOLATE else "nothing"
