"""The MQTT link: carries the spool and the retained documents to the broker, and policies back."""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from paho.mqtt import MQTTException

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.link import trouble
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.link.connection import DISCONNECT_S, KEEPALIVE_S, Connection, OnHeard
from tidegate.telemetry.link.data_budget import DataBudget
from tidegate.telemetry.link.inbox import Inbox, OnPolicy
from tidegate.telemetry.link.outbox import Outbox
from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.input import OnInput
from tidegate.telemetry.spool import Spool

logger = logging.getLogger(__name__)

# How often keep-alive is looked at when nothing else waits: a broker gives it half its time more.
KEEPALIVE_LOOK_S = KEEPALIVE_S / 6
# How long the last status may wait for its PUBACK after the drain.
LAST_STATUS_S = 1.0


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether the broker is reached, since when (Unix time), why not or what it refused in a user's words."""

    state: Literal["offline", "online", "stopped"]
    reason: str = ""
    since: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Since this start: rows that got their PUBACK, connections made, messages without an answer yet."""

    published: int
    connects: int
    in_flight: int
    state: LinkState


class Link:
    """One device's connection to its broker, in a thread of its own; nothing it meets there stops the agent.

    `on_policy(topic, payload)` is called in that thread and must have stored the policy durably when it returns:
    only then the broker gets its PUBACK. If it raises, it is called again later with the same bytes.
    `on_input` is called in that thread for every number that an outside source sends, and `on_state` whenever the
    state changes. What is used of the broker's `data_per_day` is kept in `budget_file`. `heard` holds by further
    topics (QoS 0) what is called in that thread with their messages. `counts` hears of all that arrives.
    """

    def __init__(
        self,
        broker: Broker,
        device: Device,
        spool: Spool,
        *,
        on_policy: OnPolicy,
        on_input: OnInput = lambda _: None,
        on_state: Callable[[LinkState], None] = lambda _: None,
        budget_file: Path | None = None,
        heard: Mapping[str, OnHeard] = MappingProxyType({}),
        counts: Heard | None = None,
    ) -> None:
        # How reconnection is paced; may be replaced before `start`.
        self.backoff = Backoff()
        self._broker = broker
        self._reported_topic = device.topics.reported
        self._on_state = on_state
        per_day = broker.data_per_day_bytes
        self._budget = None if per_day is None else DataBudget(per_day, budget_file)
        self._outbox = Outbox(spool, self._budget)
        counts = counts or Heard()
        self._connection = Connection(broker, device, self._outbox, self._on_up, on_input, heard, counts)
        self._inbox = Inbox(on_policy, self._connection.acknowledge, counts)
        self._state = LinkState("offline", "not started")
        self._stopping = threading.Event()
        self._drain_until = 0.0
        self._wakeup_sender, self._wakeup = socket.socketpair()
        self._wakeup_sender.setblocking(False)
        self._wakeup.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt-link", daemon=True)

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._thread.start()

    def stop(self, drain_s: float = 2.0) -> bool:
        """Send what waits for up to `drain_s`, say goodbye, disconnect. True if the thread has ended."""
        if not self._thread.is_alive():
            return True
        self._drain_until = time.monotonic() + drain_s
        self._stopping.set()
        self._wake_thread()
        # A connection attempt that hangs in the operating system is left to die with the process.
        self._thread.join(drain_s + LAST_STATUS_S + 2 * DISCONNECT_S)
        return not self._thread.is_alive()

    def report(self, document: Mapping[str, object]) -> None:
        """Retain `document` as what the device reports; the latest wins, and every new connection sends it again.

        Raises TypeError or ValueError for a document that JSON cannot hold.
        """
        self._outbox.retain(self._reported_topic, to_json(document))
        self._wake_thread()

    def retain(self, topic: str, payload: bytes) -> None:
        """Retain something else as `report` does; an empty payload clears the topic."""
        self._outbox.retain(topic, payload)
        self._wake_thread()

    def delivered(self, topic: str) -> bool:
        """Whether the broker has what was last retained there, over the connection that is up."""
        return self._outbox.delivered(topic)

    def wake(self) -> None:
        """The spool has new rows."""
        self._outbox.wake()
        self._wake_thread()

    @property
    def counters(self) -> LinkCounters:
        """What the link has done since this start."""
        return LinkCounters(self._outbox.published, self._connection.connects, self._outbox.in_flight, self._state)

    @property
    def data_left_bytes(self) -> float | None:
        """What may be sent now of the broker's `data_per_day`; None without a limit."""
        return None if self._budget is None else self._budget.left_bytes

    def _wake_thread(self) -> None:
        try:
            self._wakeup_sender.send(b"\0")
        except OSError:
            # Full of nudges not read yet, or the thread has ended: either way there is nothing to wake.
            logger.debug("no nudge needed")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wait(self._connect_once())
        finally:
            self._outbox.settle()
            self._set_state(LinkState("stopped"))
            self._wakeup_sender.close()
            self._wakeup.close()

    def _connect_once(self) -> float:
        """Connect and stay until it ends. Returns the seconds to wait before the next attempt."""
        connection = self._connection
        try:
            connection.open(self._inbox)
            self._stay_connected(connection)
        except (OSError, ValueError, MQTTException) as error:
            connection.down_because = trouble.no_connection(self._broker, error, trouble.IN_AGENT_YAML)
        except Exception as error:
            # Ours or paho's mistake: a new connection starts from a clean state, an ended thread from none.
            logger.exception("link to %s", self._broker)
            connection.down_because = f"{self._broker}: {error!r}"
        connection.close()
        self._inbox.connection_lost()
        self._outbox.settle()
        self._set_state(LinkState("offline", connection.down_because or "connection closed"))
        return self.backoff.failed(0.0 if connection.up_since is None else time.monotonic() - connection.up_since)

    def _stay_connected(self, connection: Connection) -> None:
        last_status_until: float | None = None
        while connection.down_because is None:
            # Pauses and retries are looked at once a second, the end of the drain without delay.
            busy_s = 0.05 if self._stopping.is_set() else 1.0
            resting = connection.resting and self._inbox.resting and not self._stopping.is_set()
            connection.step(self._wakeup, KEEPALIVE_LOOK_S if resting else busy_s)
            self._empty_wakeup()
            now = time.monotonic()
            self._inbox.retry(now)
            if not self._stopping.is_set() or connection.down_because is not None:
                continue
            if connection.up_since is None:
                connection.down_because = "stopped"
            elif last_status_until is None:
                if connection.idle or now >= self._drain_until:
                    connection.publish_offline()
                    last_status_until = now + LAST_STATUS_S
            elif connection.offline_delivered or now >= last_status_until:
                connection.disconnect()

    def _wait(self, delay_s: float) -> None:
        until = time.monotonic() + delay_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._wakeup, selectors.EVENT_READ)
            while not self._stopping.is_set() and (left_s := until - time.monotonic()) > 0:
                if selector.select(left_s):
                    self._empty_wakeup()

    def _empty_wakeup(self) -> None:
        try:
            while self._wakeup.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _on_up(self, problem: str) -> None:
        self._set_state(LinkState("online", problem))

    def _set_state(self, state: LinkState) -> None:
        if state == self._state:
            return
        # Another reason for the same silence leaves it as old as it is.
        since = self._state.since if state.state == self._state.state and self._state.since else time.time()
        self._state = replace(state, since=since)
        try:
            self._on_state(self._state)
        except Exception:
            logger.exception("on_state(%s)", state)
