"""The link to the broker that agent.yaml names: none, one, or another one after a reload, on the same spool."""

from collections.abc import Mapping
from pathlib import Path

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.link.connection import OnHeard
from tidegate.telemetry.link.inbox import OnPolicy
from tidegate.telemetry.link.link import Link, LinkState
from tidegate.telemetry.payloads.input import OnInput
from tidegate.telemetry.spool import Spool


class BrokerLink:
    """`wake` and `report` may be called on any thread; what one link leaves unacknowledged the next one sends.

    `connection` counts the links there have been: what was reported over one is not over the next.
    """

    def __init__(self, spool: Spool, budget_file: Path | None = None, counts: Heard | None = None) -> None:
        self.broker: Broker | None = None
        self.connection = 0
        self._spool = spool
        self._budget_file = budget_file
        self._counts = counts or Heard()
        self._heard: dict[str, OnHeard] = {}
        self._link: Link | None = None
        self._retained: dict[str, bytes] = {}

    def hear(self, topic: str, heard: OnHeard) -> None:
        """Have what is published on another topic told by every link from now on, on its thread."""
        self._heard[topic] = heard

    def use(self, broker: Broker | None, device: Device, on_policy: OnPolicy, on_input: OnInput) -> None:
        """Have a link to this broker, not started yet."""
        self.broker = broker
        self.connection += 1
        if broker is not None:
            self._link = link = Link(
                broker,
                device,
                self._spool,
                on_policy=on_policy,
                on_input=on_input,
                budget_file=self._budget_file,
                heard=self._heard,
                counts=self._counts,
            )
            for topic, payload in self._retained.items():
                link.retain(topic, payload)

    def start(self) -> None:
        """Begin connecting."""
        if self._link is not None:
            self._link.start()

    def stop(self, drain_s: float) -> None:
        """Send what waits for up to `drain_s`, say goodbye and hang up; waits for the broker."""
        link, self._link = self._link, None
        if link is not None:
            link.stop(drain_s)

    def wake(self) -> None:
        """The spool has new rows."""
        if self._link is not None:
            self._link.wake()

    def report(self, document: Mapping[str, object]) -> None:
        """Retain what the device reports."""
        if self._link is not None:
            self._link.report(document)

    def retain(self, topic: str, payload: bytes) -> None:
        """Retain something else, at this broker and those after it; an empty payload clears the topic."""
        self._retained[topic] = payload
        if self._link is not None:
            self._link.retain(topic, payload)

    def delivered(self, topic: str) -> bool:
        """Whether the broker has what was last retained there."""
        return self._link is not None and self._link.delivered(topic)

    @property
    def state(self) -> LinkState | None:
        """Whether the broker is reached; None without one."""
        link = self._link
        return None if link is None else link.counters.state

    @property
    def data_left_bytes(self) -> int | None:
        """What may be sent now of the broker's `data_per_day`; None without a limit."""
        left = None if self._link is None else self._link.data_left_bytes
        return None if left is None else max(0, int(left))

    @property
    def problem(self) -> str | None:
        """Why the broker is not reached, None where it is or nobody has tried yet."""
        state = self.state
        return None if state is None or state.reason in {"", "not started"} else state.reason
