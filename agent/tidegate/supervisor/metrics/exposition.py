"""Metrics in the format that a scraper asks for: Prometheus' text or OpenMetrics."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from tidegate.supervisor.metrics.families import families
from tidegate.supervisor.metrics.served_totals import ServedTotals
from tidegate.supervisor.status.agent_state import AgentState

Render = Callable[[str], tuple[str, bytes]]
"""From an Accept header to a content type and the metrics in it."""


class _Agent:
    """A collector (prometheus_client.registry.Collector) of the agent's state."""

    def __init__(self, state: Callable[[], AgentState], totals: Callable[[], ServedTotals]) -> None:
        self._state = state
        self._totals = totals

    def describe(self) -> Iterator[Metric]:
        """Nothing: it would be asked for before there is a worker."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The agent as it is now."""
        return families(self._state(), self._totals())


def exposition(state: Callable[[], AgentState], totals: Callable[[], ServedTotals]) -> Render:
    """Asks for the state at every scrape, on the thread of the scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Agent(state, totals))

    def render(accept: str) -> tuple[str, bytes]:
        encode, kind = choose_encoder(accept)
        return kind, encode(registry)

    return render
