"""What the goals leave to spend: the mean draw that reaches each horizon with its budget just used up."""

import math
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from agent.policy.learned import Learned
from agent.policy.policy import Goals

SUPPLY_HORIZON_S = 7200.0
"""How long a supply is counted on to go on as it is; clouds and unplugging make anything longer a hope."""
RECKONING_S = 4 * 3600.0
"""How long a charge is reckoned on without its gauge before it counts as unknown."""
FULL_PERCENT = 97.0
_LEAST_SPAN_S = 60.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A mean draw of the whole device that a goal allows from now on, W; `because` says so in words."""

    allowed_w: float
    because: str = ""


UNLIMITED = Budget(math.inf)


def budget(goals: Goals, learned: Learned, now: datetime) -> Budget:
    """The tightest of the energy goals' budgets; UNLIMITED where none binds or nothing is known to reckon with."""
    budgets = [UNLIMITED]
    if goals.battery_until is not None:
        budgets.append(_battery(goals, learned, goals.battery_until, now))
    if goals.energy_per_day_j is not None:
        left_s = max(_LEAST_SPAN_S, _until(time(), now))
        left_j = max(0.0, goals.energy_per_day_j - learned.spent_j)
        allowed_w = left_j / left_s
        budgets.append(Budget(allowed_w, f"{left_j / 3600:.3g} Wh of today's energy allow {allowed_w:.3g} W"))
    return min(budgets, key=lambda each: each.allowed_w)


def _battery(goals: Goals, learned: Learned, until: time, now: datetime) -> Budget:
    percent, per_percent = learned.charge_percent, learned.joules_per_percent
    seen_at = learned.charge_seen_at
    if percent is None or per_percent is None or seen_at is None:
        return UNLIMITED
    if learned.at is not None and learned.at - seen_at > RECKONING_S:
        return Budget(0.0, "the charge is unknown for too long to reckon on")
    if learned.external and percent >= FULL_PERCENT:
        return UNLIMITED
    left_s = max(_LEAST_SPAN_S, _until(until, now))
    left_j = max(0.0, percent - goals.reserve_percent) * per_percent
    coming_j = learned.supply_w * min(left_s, SUPPLY_HORIZON_S)
    allowed_w = (left_j + coming_j) / left_s
    return Budget(allowed_w, f"{percent:.0f} % of battery until {until:%H:%M} allow {allowed_w:.3g} W")


def _until(clock: time, now: datetime) -> float:
    """Seconds until the clock next shows this time."""
    at = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return ((at if at > now else at + timedelta(days=1)) - now).total_seconds()
