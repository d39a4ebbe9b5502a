"""Sends the agent's state on: a telemetry window now and then, and the retained report when it has changed."""

from collections.abc import Callable

from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.events.journal import Journal
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.rendering import as_reported, as_telemetry


class Reporter:
    """Belongs to the event loop; without a broker nothing is retained, and windows wait in the spool."""

    def __init__(
        self,
        journal: Journal,
        link: BrokerLink,
        state: Callable[[], AgentState],
        retained: Callable[[], tuple[object, ...]],
    ) -> None:
        self._journal = journal
        self._link = link
        self._state = state
        self._retained = retained
        self._last: tuple[object, ...] = ()

    def send_window(self) -> None:
        """Spool one telemetry window."""
        state = self._state()
        self._journal.telemetry(as_telemetry(state), state.at)

    def report(self) -> None:
        """Retain what runs now, when it has changed or a push has met a verdict, even the same one again.

        Asked twice a second, it puts the whole state together for a change alone.
        """
        now = (*self._retained(), self._link.connection)
        if now != self._last:
            self._last = now
            self._link.report(as_reported(self._state()).to_document())
