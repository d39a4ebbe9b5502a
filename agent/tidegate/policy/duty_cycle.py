"""When to sleep so that the battery lasts: what being awake costs decides how much of the time it can be. Pure.

Where even the point that makes the most of a joule draws more than the goals leave, time is shared between being
awake at that point and sleeping: the mean draw is what they leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.models.ladder import OperatingPoint
from tidegate.policy.budget import lasting
from tidegate.policy.learned import Learned
from tidegate.policy.policy import DutyCycle, Goals, Wake
from tidegate.policy.sleep import Sleeping

LEAST_AWAKE_S = 120.0
"""Waking up costs seconds, and what is known of the battery has to be read anew."""

LEAST_ASLEEP_S = 120.0
"""Nobody suspends a system for less: supervisor/control/suspension.py."""


@dataclass(frozen=True, slots=True)
class Awake:
    """The point to be at while awake, the share of the time for that, 0 up to but not 1, and why in words."""

    point: OperatingPoint
    share: float
    because: str


def awake(points: Sequence[OperatingPoint], goals: Goals, learned: Learned, now: datetime) -> Awake | None:
    """How to share the time; None where the goals are met awake or allow no sleep, and if nothing is known."""
    cycle, rate_hz = goals.duty_cycle, learned.rate_hz
    if cycle is None or rate_hz is None:
        return None
    leaves = lasting(goals, learned, now)
    if leaves is None:
        return None
    offers = learned.offers(points, rate_hz, learned.mean_base_w)
    best = max(offers, key=lambda each: each.right_hz / max(each.draw_w - cycle.asleep_w, 1e-9))
    more_w = best.draw_w - cycle.asleep_w
    if more_w <= 0 or leaves.allowed_w >= min(each.draw_w for each in offers):
        return None
    share = max(0.0, (leaves.allowed_w - cycle.asleep_w) / more_w)
    return (
        Awake(best.point, share, f"{leaves.because}, awake {100 * share:.0f} % of the time") if share < 1 else None
    )


def asleep_next(
    plan: Awake, cycle: DutyCycle, awake_since_s: float, at_s: float, moment: datetime
) -> Sleeping | None:
    """The sleep that is due at the snapshot's `at_s`; None while it is to stay awake."""
    stays_s = max(LEAST_AWAKE_S, plan.share * cycle.period_s, LEAST_ASLEEP_S * plan.share / (1 - plan.share))
    if at_s - awake_since_s < stays_s:
        return None
    sleeps_s = cycle.period_s if plan.share == 0 else min(cycle.period_s, stays_s * (1 / plan.share - 1))
    return Sleeping("", Wake(), at_s, moment + timedelta(seconds=sleeps_s))
