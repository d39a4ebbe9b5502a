"""The link to the broker that agent.yaml names: none, one, or another one after a reload, on the same spool."""

from collections.abc import Mapping

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.inbox import OnPolicy
from tidegate.telemetry.link.link import Link, LinkState
from tidegate.telemetry.payloads.input import OnInput
from tidegate.telemetry.spool import Spool


class BrokerLink:
    """`wake` and `report` may be called on any thread; what one link leaves unacknowledged the next one sends.

    `connection` counts the links there have been: what was retained over one is not over the next.
    """

    def __init__(self, spool: Spool) -> None:
        self.broker: Broker | None = None
        self.connection = 0
        self._spool = spool
        self._link: Link | None = None

    def use(self, broker: Broker | None, device: Device, on_policy: OnPolicy, on_input: OnInput) -> None:
        """Have a link to this broker, not started yet."""
        self.broker = broker
        self.connection += 1
        if broker is not None:
            self._link = Link(broker, device, self._spool, on_policy=on_policy, on_input=on_input)

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

    @property
    def state(self) -> LinkState | None:
        """Whether the broker is reached; None without one."""
        link = self._link
        return None if link is None else link.counters.state

    @property
    def problem(self) -> str | None:
        """Why the broker is not reached, None where it is or nobody has tried yet."""
        state = self.state
        return None if state is None or state.reason in {"", "not started"} else state.reason
