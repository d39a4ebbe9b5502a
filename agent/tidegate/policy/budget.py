"""What the goals leave to spend: the mean draw that reaches each horizon with its budget just used up."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from tidegate.policy.learned import Learned
from tidegate.policy.policy import Goals, Panel

SUPPLY_HORIZON_S = 7200.0
"""How long a supply is counted on to go on as it is; clouds and unplugging make anything longer a hope."""
RECKONING_S = 4 * 3600.0
"""How long a charge is reckoned on without its gauge before it counts as unknown."""
FULL_PERCENT = 97.0
CAUTION, CAUTIOUS_S = 0.16, 4 * 3600.0
"""The share of a battery's budget that is held back, and before how long it is let go again: the load of hours to
come is a guess, the first steps down cost little accuracy and the last ones much."""
CLOUDS = 0.6
"""The share of a cloudless day's sun that is counted on."""
EMPTY_PERCENT = 3.0
"""What is left in the battery while it waits for the sun."""
_PARTS = 24
_LEAST_SPAN_S = 60.0
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A mean draw of the whole device that a goal allows for `left_s` from now, W; `because` says so in words.

    `most_w` is what would just reach the horizon if load and draw went on as reckoned; `allowed_w` keeps a margin.
    """

    allowed_w: float
    because: str = ""
    left_s: float = math.inf
    most_w: float = math.inf


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
        because = f"{left_j / 3600:.3g} Wh of today's energy allow {allowed_w:.3g} W"
        budgets.append(Budget(allowed_w, because, left_s, allowed_w))
    return min(budgets, key=lambda each: each.allowed_w)


def lasting(goals: Goals, learned: Learned, now: datetime) -> Budget | None:
    """The battery's budget that also keeps it from running empty before the sun comes; None if none is known."""
    charge = learned.charge
    unknown = charge.percent is None or charge.joules_per_percent is None or charge.seen_at is None
    if goals.battery_until is None or unknown or (learned.at or 0.0) - (charge.seen_at or 0.0) > RECKONING_S:
        return None
    spend = _battery(goals, learned, goals.battery_until, now)
    if goals.panel is None or not spend.because:
        return spend
    left_j = max(0.0, (charge.percent or 0.0) - EMPTY_PERCENT) * (charge.joules_per_percent or 0.0)
    spans_s = [spend.left_s * part / _PARTS for part in range(1, _PARTS)]
    leanest_w = min((left_j + _harvest_j(goals.panel, now, span_s)) / span_s for span_s in spans_s)
    return spend if leanest_w >= spend.allowed_w else replace(spend, allowed_w=leanest_w)


def _battery(goals: Goals, learned: Learned, until: time, now: datetime) -> Budget:
    charge = learned.charge
    percent, per_percent = charge.percent, charge.joules_per_percent
    if percent is None or per_percent is None or charge.seen_at is None:
        return UNLIMITED
    if learned.at is not None and learned.at - charge.seen_at > RECKONING_S:
        return Budget(0.0, "the charge has been unknown for too long")
    if charge.external and percent >= FULL_PERCENT:
        return UNLIMITED
    left_s = max(_LEAST_SPAN_S, _until(until, now))
    left_j = max(0.0, percent - goals.reserve_percent) * per_percent
    coming_j = charge.supply_w * min(left_s, SUPPLY_HORIZON_S)
    if goals.panel is not None:
        coming_j = max(coming_j, _harvest_j(goals.panel, now, left_s))
    most_w = (left_j + coming_j) / left_s
    allowed_w = most_w * (1.0 - CAUTION * min(1.0, left_s / CAUTIOUS_S))
    because = f"{percent:.0f} % of battery until {until:%H:%M} allow {allowed_w:.3g} W"
    return Budget(allowed_w, because, left_s, most_w)


def _harvest_j(panel: Panel, now: datetime, span_s: float) -> float:
    """What the panel is counted on to give from now on: half a sine from rise to set, less CLOUDS."""
    rise_s, set_s, now_s = (_since_midnight(clock) for clock in (panel.rise, panel.set, now.time()))
    day_s = (set_s - rise_s) % _DAY_S or _DAY_S
    begins_s = (now_s - rise_s) % _DAY_S
    ends_s = begins_s + span_s
    # The share of a day's sun before a moment is (1 - cos) / 2; whole days follow one another.
    days = _sun_before(ends_s, day_s) - _sun_before(begins_s, day_s)
    return CLOUDS * panel.peak_w * day_s * 2 / math.pi * days


def _sun_before(at_s: float, day_s: float) -> float:
    whole, within_s = divmod(at_s, _DAY_S)
    return whole + (1 - math.cos(math.pi * min(1.0, within_s / day_s))) / 2


def _since_midnight(clock: time) -> float:
    return clock.hour * 3600.0 + clock.minute * 60.0 + clock.second


def _until(clock: time, now: datetime) -> float:
    """Seconds until the clock next shows this time."""
    at = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return ((at if at > now else at + timedelta(days=1)) - now).total_seconds()
