"""Where the next worker starts and after how long: the same point, unless workers keep dying young there. Pure."""

from dataclasses import dataclass, replace

STABLE_S = 10.0
"""Whoever stayed this long at an operating point proves it; whoever lived this long did not die young."""
EARLY_DEATHS_CONDEMN = 2
"""So many workers in a row that die young take the next one back to the last point that was proven."""
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before the next start, by the number of workers that have died young in a row; then the last one."""


@dataclass(frozen=True, slots=True)
class RestartState:
    """What is known of past workers: `point` is where the present one is or the next one starts."""

    point: str
    proven_point: str
    early_deaths: int = 0
    restarts: int = 0

    @property
    def pause_s(self) -> float:
        """How long to wait before the next start."""
        return BACKOFF_S[min(self.early_deaths, len(BACKOFF_S) - 1)]


def first_start(point: str) -> RestartState:
    """Before the first worker, which starts at `point`; it counts as proven, for want of another."""
    return RestartState(point, point)


def moved(state: RestartState, point: str) -> RestartState:
    """After the worker said that it serves at `point`."""
    return replace(state, point=point)


def answered(state: RestartState, at_point_s: float) -> RestartState:
    """After the worker answered a ping, `at_point_s` seconds since it came to its point."""
    if at_point_s <= STABLE_S:
        return state
    return replace(state, proven_point=state.point, early_deaths=0)


def ended(state: RestartState, lived_s: float) -> RestartState:
    """After a worker ended unasked, `lived_s` seconds since its start."""
    early_deaths = state.early_deaths + 1 if lived_s < STABLE_S else 0
    point = state.proven_point if early_deaths >= EARLY_DEATHS_CONDEMN else state.point
    return RestartState(point, state.proven_point, early_deaths, state.restarts + 1)
