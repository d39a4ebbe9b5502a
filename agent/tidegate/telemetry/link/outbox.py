"""What the link publishes next, and what the broker's answers mean for it. No network and no clock in here."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from paho.mqtt.reasoncodes import ReasonCode

from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.link.data_budget import DataBudget
from tidegate.telemetry.link.hang_ups import HangUps
from tidegate.telemetry.link.lane import Lane
from tidegate.telemetry.link.message import Message
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.spool.file import is_telemetry

logger = logging.getLogger(__name__)

# Unacknowledged messages at once. More hides latency on slow links, and is what a lost connection sends twice.
WINDOW = 16
# How often a row is offered whose refusal may have been its own fault, before it is given up and counted.
MAX_REFUSALS = 5

# PUBACK reason codes (MQTT 5, section 3.4.2.1).
_NOT_AUTHORIZED, _QUOTA_EXCEEDED = 0x87, 0x97
_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID = 0x90, 0x95, 0x99

# These say nothing about the row: an access list or a quota is mended at the broker, and then the row is welcome.
_BROKERS_OWN = frozenset({_NOT_AUTHORIZED, _QUOTA_EXCEEDED})
# These say that this row will never be taken.
_HOPELESS = frozenset({_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID})


@dataclass(slots=True)
class _Retained:
    payload: bytes
    unsent: bool = True
    given_up: bool = False


@dataclass(slots=True)
class _Pause:
    """A topic whose last publication was refused."""

    backoff: Backoff = field(default_factory=lambda: Backoff(base_s=1.0, cap_s=300.0))
    until: float = 0.0
    resume_after: int | None = None


class Outbox:
    """Chooses messages within the window, so that no row is handed out twice while it may still arrive.

    One thread (the link's) calls everything but `retain` and `wake`, which any thread may.
    """

    def __init__(self, spool: Spool, budget: DataBudget | None = None) -> None:
        self._spool = spool
        self._budget = budget
        self._lock = threading.Lock()
        self._retained: dict[str, _Retained] = {}
        # What happened is told before what was measured.
        self._lanes = (Lane(telemetry=False), Lane(telemetry=True))
        self._window = WINDOW
        self._max_packet_bytes: int | None = None
        self._outstanding: dict[int, Message] = {}
        self._acknowledged: list[int] = []
        # What is given up and for which reason, while the disk does not let go of it.
        self._given_up: dict[int, str] = {}
        self._generation = spool.generation
        self._pauses: dict[str, _Pause] = {}
        self._refusals: dict[int, int] = {}
        self._one_at_a_time = 0
        self._suspect = False
        self._hang_ups = HangUps()
        self.published = 0

    def retain(self, topic: str, payload: bytes) -> None:
        """Set the retained document of a topic; one not yet sent is replaced by it."""
        with self._lock:
            self._retained[topic] = _Retained(payload)

    def wake(self) -> None:
        """The spool has new rows."""
        for lane in self._lanes:
            lane.look = True

    def connected(self, receive_maximum: int, max_packet_bytes: int | None, session_present: bool) -> bool:
        """A connection is up with the broker's limits. False: the caller must forget what it would resend.

        The broker's session makes the protocol resend what is outstanding; not so when the session is gone,
        when the new limits do not allow it, or when an outstanding message is what ended the last connection.
        """
        self._window = max(1, min(WINDOW, receive_maximum))
        self._max_packet_bytes = max_packet_bytes
        with self._lock:
            for document in self._retained.values():
                document.unsent = not document.given_up
        self.wake()
        fits = len(self._outstanding) <= self._window and not any(map(self._too_large, self._outstanding.values()))
        if session_present and fits and not self._suspect:
            for message in self._outstanding.values():
                self._spend(message)
            return True
        self._suspect = False
        for message in self._outstanding.values():
            self._rewind(message.topic, message.seq)
            if message.topic in self._pauses:
                self._hold(message)
        self._outstanding.clear()
        return False

    def lost(self, *, blamed: bool, hung_up: bool = False) -> None:
        """The connection is gone; `blamed` if the broker ended it for the sake of a message it was sent.

        With one message outstanding that is the one, and it is given up; with more, they go one at a time next.
        `hung_up` if it ended soon and without a word: then a message is blamed only when that happens repeatedly.
        """
        if hung_up and not blamed:
            verdict = self._hang_ups.count(self._outstanding.values())
        else:
            self._hang_ups.ended_otherwise()
            verdict = "refuse" if blamed and len(self._outstanding) == 1 else "isolate" if blamed else "nothing"
        if verdict == "nothing" or not self._outstanding:
            return
        self._suspect = True
        if verdict == "isolate":
            # The retained documents come again with every connection, before the rows.
            self._one_at_a_time = len(self._outstanding) + len(self._retained)
            return
        (message,) = self._outstanding.values()
        self._give_up(message, "refused", "the broker ends the connection over it")
        self._one_at_a_time = 0
        self._outstanding.clear()

    def next(self, now: float) -> Message | None:
        """The next message to publish, None when there is none or the window is full. `now` is monotonic."""
        if len(self._outstanding) >= (1 if self._one_at_a_time else self._window):
            return None
        paused = self._paused(now) if self._pauses else frozenset()
        if (document := self._next_retained(paused)) is not None:
            return document
        budget = self._budget
        # What was sent and the disk does not let go of is forgotten in a kill: then the thinner takes two windows
        # for sent, and would merge what is beyond.
        stuck = len(self._acknowledged) + len(self._given_up) > WINDOW
        lanes = (
            lane
            for lane in self._lanes
            if not (stuck and lane.telemetry) and (budget is None or budget.allows(telemetry=lane.telemetry))
        )
        return next((row for lane in lanes if (row := self._next_row(lane, paused)) is not None), None)

    def _paused(self, now: float) -> frozenset[str]:
        for topic, pause in self._pauses.items():
            if pause.resume_after is not None and now >= pause.until:
                self._rewind(topic, pause.resume_after + 1)
                pause.resume_after = None
        return frozenset(topic for topic, pause in self._pauses.items() if now < pause.until)

    def sent(self, mid: int, message: Message) -> None:
        """`message` went out under packet id `mid`."""
        self._outstanding[mid] = message
        self._spend(message)

    def refuse(self, message: Message, why: str) -> None:
        """`message` can't be sent at all: it is given up."""
        self._give_up(message, "refused", why)

    def answered(self, mid: int, reason: ReasonCode, now: float) -> None:
        """A PUBACK for `mid`. A refusal pauses the topic; the row is kept, or in the end dropped and counted."""
        message = self._outstanding.pop(mid, None)
        if message is None:
            return
        self._one_at_a_time = max(0, self._one_at_a_time - 1)
        if not reason.is_failure:
            self._hang_ups.answered(message)
            pause = self._pauses.get(message.topic)
            if pause is not None and pause.resume_after is None and now >= pause.until:
                del self._pauses[message.topic]
            if message.seq is not None:
                self._acknowledged.append(message.seq)
                self._refusals.pop(message.seq, None)
                self.published += 1
            return
        self._refused(message, reason, now)

    def settle_when_due(self) -> None:
        """Settle a window's worth at once, or all when no answer is awaited: each time costs the disk a write.

        So at most twice a window may have reached the broker of what waits: the thinner counts on it.
        """
        if len(self._acknowledged) + len(self._given_up) >= WINDOW or not self._outstanding:
            self.settle()

    def settle(self) -> None:
        """Delete the rows acknowledged or given up since the last call. What the disk refuses is tried again."""
        if self._acknowledged:
            self._acknowledged = list(self._spool.acknowledge(*self._acknowledged))
        for seq, reason in tuple(self._given_up.items()):
            if not self._spool.drop(seq, reason):
                return
            del self._given_up[seq]

    def delivered(self, topic: str) -> bool:
        """Whether the retained document of `topic` has reached the broker in this connection."""
        with self._lock:
            document = self._retained.get(topic)
        if document is None or document.unsent:
            return False
        return not any(message.retain and message.topic == topic for message in self._outstanding.values())

    @property
    def in_flight(self) -> int:
        """Messages without an answer yet."""
        return len(self._outstanding)

    @property
    def resting(self) -> bool:
        """Whether nothing waits: for an answer, for a topic's pause to end, or for the disk."""
        return not (self._outstanding or self._pauses or self._acknowledged or self._given_up)

    def _next_retained(self, paused: frozenset[str]) -> Message | None:
        with self._lock:
            if not any(document.unsent for document in self._retained.values()):
                return None
        busy = paused | {message.topic for message in self._outstanding.values() if message.retain}
        for message in self._take_unsent(busy):
            if not self._too_large(message):
                return message
            self._give_up(message, "too_large", f"the broker allows packets of {self._max_packet_bytes} bytes")
        return None

    def _take_unsent(self, busy: frozenset[str]) -> Iterator[Message]:
        while True:
            with self._lock:
                unsent = [(t, d) for t, d in self._retained.items() if d.unsent and t not in busy]
                if not unsent:
                    return
                # The smallest first: that the broker takes some is what tells of one that it never takes.
                topic, document = min(unsent, key=lambda each: len(each[1].payload))
                document.unsent = False
                message = Message(topic, document.payload)
            yield message

    def _next_row(self, lane: Lane, paused: frozenset[str]) -> Message | None:
        if self._generation != self._spool.generation:
            # The file was opened again: rows behind the cursor may have come to light.
            self._generation = self._spool.generation
            for each in self._lanes:
                each.rewind(1)
        while True:
            while not lane.fetched:
                if not lane.look:
                    return None
                self._fetch(lane, paused)
            row = lane.fetched.popleft()
            message = Message(row.topic, row.payload, row.seq)
            if row.topic in paused:
                self._hold(message)
            elif self._too_large(message):
                self._give_up(message, "too_large", f"the broker allows packets of {self._max_packet_bytes} bytes")
            else:
                return message

    def _fetch(self, lane: Lane, paused: frozenset[str]) -> None:
        """Those behind its cursor that are not under way, acknowledged or given up: a rewind comes past them."""
        busy = {message.seq for message in self._outstanding.values()} | {*self._acknowledged, *self._given_up}
        # Before the query: a row put during it must be looked for again.
        lane.look = False
        rows = self._spool.after(lane.cursor, WINDOW + len(busy), paused, telemetry=lane.telemetry)
        if rows:
            lane.look, lane.cursor = True, rows[-1].seq
            lane.fetched.extend(row for row in rows if row.seq not in busy)

    def _rewind(self, topic: str, seq: int | None) -> None:
        lane = self._lanes[is_telemetry(topic)]
        if seq is None:
            lane.look = True
        else:
            lane.rewind(seq)

    def _spend(self, message: Message) -> None:
        if self._budget is not None:
            self._budget.spend(message.packet_bytes)

    def _too_large(self, message: Message) -> bool:
        return self._max_packet_bytes is not None and message.packet_bytes > self._max_packet_bytes

    def _refused(self, message: Message, reason: ReasonCode, now: float) -> None:
        if message.seq is not None and reason.value not in _BROKERS_OWN:
            refusals = self._refusals[message.seq] = self._refusals.get(message.seq, 0) + 1
            if reason.value in _HOPELESS or refusals >= MAX_REFUSALS:
                self._give_up(message, "refused", f"the broker answered {reason} {refusals} times")
                return
        pause = self._pauses.setdefault(message.topic, _Pause())
        # What else of this topic was in flight is refused with it: one failure, not one per message.
        if now >= pause.until:
            delay_s = pause.backoff.failed()
            pause.until = now + delay_s
            logger.warning("%s: the broker refused (%s); next attempt in %.1f s", message.topic, reason, delay_s)
        if message.seq is not None:
            self._hold(message)
            return
        with self._lock:
            self._retained[message.topic].unsent = True

    def _hold(self, message: Message) -> None:
        """Come back to this row when its topic's pause is over."""
        if message.seq is not None:
            pause = self._pauses[message.topic]
            before = message.seq - 1
            pause.resume_after = before if pause.resume_after is None else min(pause.resume_after, before)

    def _give_up(self, message: Message, reason: str, why: str) -> None:
        logger.error("%s, seq %s: dropped (%s): %s", message.topic, message.seq, reason, why)
        if message.seq is not None:
            self._refusals.pop(message.seq, None)
            if not self._spool.drop(message.seq, reason):
                self._given_up[message.seq] = reason
            return
        with self._lock:
            document = self._retained[message.topic]
            # A newer document than the one refused may well be welcome.
            document.given_up = reason == "refused" and document.payload == message.payload
