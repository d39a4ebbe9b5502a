"""Where the next worker starts and after how long: the same point, unless workers keep ending. Pure.

Times are seconds of one clock that never goes back.
"""

from dataclasses import dataclass, replace

STABLE_S = 10.0
"""Whoever stayed this long at an operating point proves it; whoever lived this long did not die young."""
EARLY_DEATHS_CONDEMN = 2
"""So many workers in a row that die young take the next one back to the last point that was proven."""
EARLY_DEATHS_TO_CHEAPEST = 4
"""So many take it to the cheapest certified point, which asks least of memory, heat and supply."""
EARLY_DEATHS_REFUSE = 6
"""After so many, requests are refused until a worker is ready: to wait helps nobody any more."""
ENDS_TO_CHEAPEST = 8
ENDS_WITHIN_S = 600.0
"""So many ends within this time take it there as well, however old each worker was."""
HOLD_S = 60.0
LONGEST_HOLD_S = 3600.0
"""How long it is held at the cheapest point; each hold that did not help doubles the next."""
FORGIVEN_S = 6 * 3600.0
"""After so long without an end, holds count from the beginning again."""
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before the next start, by the number of workers that have died young in a row; then the last one."""


@dataclass(frozen=True, slots=True)
class RestartState:
    """What is known of past workers: `point` is where the present one is or the next one starts.

    `ends` are the times of the latest ends. Until `held_until` no point but `point` is to be used.
    """

    point: str
    proven_point: str
    early_deaths: int = 0
    restarts: int = 0
    ends: tuple[float, ...] = ()
    holds: int = 0
    held_until: float = 0.0

    @property
    def pause_s(self) -> float:
        """How long to wait before the next start."""
        return BACKOFF_S[min(self.early_deaths, len(BACKOFF_S) - 1)]

    @property
    def refuses(self) -> bool:
        """Whether requests are refused until the next worker is ready."""
        return self.early_deaths >= EARLY_DEATHS_REFUSE

    def held(self, now: float) -> bool:
        """Whether workers have kept ending, so that the cheapest point is all that may be used for now."""
        return now < self.held_until


def first_start(point: str) -> RestartState:
    """Before the first worker, which starts at `point`; it counts as proven, for want of another."""
    return RestartState(point, point)


def moved(state: RestartState, point: str) -> RestartState:
    """After the worker said that it serves at `point`."""
    return replace(state, point=point)


def renewed(state: RestartState, point: str) -> RestartState:
    """After a worker of another bundle or with other settings took over at `point`: what was held is void."""
    return RestartState(point, point, restarts=state.restarts)


def answered(state: RestartState, at_point_s: float) -> RestartState:
    """After the worker answered a ping, `at_point_s` seconds since it came to its point."""
    if at_point_s <= STABLE_S:
        return state
    return replace(state, proven_point=state.point, early_deaths=0)


def ended(state: RestartState, lived_s: float, now: float, cheapest: str) -> RestartState:
    """After a worker ended unasked, `lived_s` seconds since its start; `cheapest` is the last resort."""
    early_deaths = state.early_deaths + 1 if lived_s < STABLE_S else 0
    holds = 0 if state.ends and now - state.ends[-1] > FORGIVEN_S else state.holds
    ends = (*(at for at in state.ends if now - at <= ENDS_WITHIN_S), now)[-ENDS_TO_CHEAPEST:]
    state = replace(state, early_deaths=early_deaths, restarts=state.restarts + 1, ends=ends, holds=holds)
    if early_deaths >= EARLY_DEATHS_TO_CHEAPEST or len(ends) >= ENDS_TO_CHEAPEST:
        hold_s = min(LONGEST_HOLD_S, HOLD_S * 2 ** min(holds, 10))
        return replace(state, point=cheapest, holds=holds + 1, held_until=now + hold_s, ends=(now,))
    return replace(state, point=state.proven_point if early_deaths >= EARLY_DEATHS_CONDEMN else state.point)
