"""Sends the agent's state on: a telemetry window now and then, and the retained report when it has changed."""

from collections.abc import Callable

from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.events.journal import Journal
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.rendering import as_reported, as_telemetry, described_readings
from tidegate_drivers.reading import ENERGY, Snapshot

DESCRIBE_S = 600.0
"""How often other units, sources and reasons of readings are news: some reasons change with every reading."""


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
        self._window_began_s = 0.0
        self._total_j: float | None = None
        self._described = Snapshot(0.0)
        self._described_s: float | None = None

    def send_window(self) -> None:
        """Spool one telemetry window."""
        state = self._state()
        window = as_telemetry(state, state.uptime_s - self._window_began_s, self._energy_j(state))
        self._window_began_s = state.uptime_s
        self._describe(state)
        self._journal.telemetry(window.to_document(), state.at)

    def report(self) -> None:
        """Retain what runs now, when it has changed or a push has met a verdict, even the same one again.

        Asked at each decision, it puts the whole state together for a change alone.
        """
        now = (*self._retained(), self._link.connection, self._described_s)
        if now != self._last:
            self._last = now
            self._link.report(as_reported(self._state(), self._described).to_document())

    def _energy_j(self, state: AgentState) -> float | None:
        """Since the last window that knew; None in the first, and after a counter that went back."""
        before, now = self._total_j, state.snapshot.number(ENERGY)
        if now is None:
            return None
        self._total_j = now
        return None if before is None or now < before else now - before

    def _describe(self, state: AgentState) -> None:
        if self._described_s is not None and state.uptime_s - self._described_s < DESCRIBE_S:
            return
        if self._described_s is None or described_readings(state.snapshot) != described_readings(self._described):
            self._described, self._described_s = state.snapshot, state.uptime_s
