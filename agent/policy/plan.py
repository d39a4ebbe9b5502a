"""The best operating point within the goals: the most correct answers that budgets, heat and deadline allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.models.ladder import Ladder, OperatingPoint
from agent.policy.budget import Budget, budget
from agent.policy.choice import accuracy, loss
from agent.policy.learned import Learned, finite
from agent.policy.policy import Policy
from agent.policy.readings import REQUEST_RATE
from drivers.reading import TEMPERATURE, Snapshot

HEAT_HORIZON_S = 90.0
"""How far ahead heat is looked at: past the dwell, so that a step down is done before the ceiling is reached."""
HEAT_MARGIN_C = 1.0
SHED_FROM, SHED_BELOW = 0.94, 1.05
"""The budgets, in draws of the idle device, within which load is shed: above it is early, below it is in vain."""
STAY = 1.03
"""How far over its budget the point in force may draw before it is left; at 1, two points would alternate."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The point to be at; `because` in words where a goal holds it below the rule's; `hurry` skips the dwell down.

    `rate_hz` limits the load where even this point draws too much; None for no limit.
    """

    point: OperatingPoint
    because: str = ""
    hurry: bool = False
    rate_hz: float | None = None


def plan(
    points: Sequence[OperatingPoint],
    ladder: Ladder,
    policy: Policy,
    snapshot: Snapshot,
    learned: Learned,
    in_force: str,
    now: datetime,
) -> Plan:
    """The best of `points` (from the rule's choice downwards, never empty) under the policy's goals. Total."""
    goals = policy.goals
    reading_hz = finite(snapshot, REQUEST_RATE)
    rate_hz = reading_hz if reading_hz is not None else learned.rate_hz
    if rate_hz is None:
        return Plan(points[0])
    fitting, why = list(points), ""
    if goals.latency_p95_ms is not None:
        limit_ms = goals.latency_p95_ms
        slow = max(0.05, learned.slowdown.mean + learned.slowdown.variance**0.5)
        quick = [each for each in fitting if each.figures.latency_p95_ms * slow <= limit_ms]
        if len(quick) < len(fitting):
            why = f"latency within {limit_ms:g} ms at {slow:.2g} times the calibrated one"
            fitting = quick or [min(fitting, key=lambda each: each.figures.latency_p95_ms)]
    hurry = False
    celsius = finite(snapshot, TEMPERATURE)
    if goals.temperature_ceiling_c is not None and celsius is not None:
        ceiling_c = goals.temperature_ceiling_c - HEAT_MARGIN_C
        # What the line does not explain of the present temperature is taken to stay.
        offset_c = celsius - learned.heat.at(learned.smooth_w or 0.0) if learned.smooth_w is not None else 0.0
        cool = [
            each
            for each in fitting
            if learned.temperature_c(learned.draw_w(each, rate_hz), HEAT_HORIZON_S) + offset_c <= ceiling_c
        ]
        if len(cool) < len(fitting):
            why = f"temperature {celsius:.3g} C is to stay below {goals.temperature_ceiling_c:g} C"
            hurry = celsius > ceiling_c
            fitting = cool or [min(fitting, key=lambda each: learned.draw_w(each, rate_hz))]
    best = max(fitting, key=lambda each: _value(each, ladder, learned, rate_hz))
    return _within_budget(fitting, best, Plan(best, why, hurry), ladder, policy, learned, in_force, now)


def _within_budget(
    fitting: Sequence[OperatingPoint],
    best: OperatingPoint,
    unlimited: Plan,
    ladder: Ladder,
    policy: Policy,
    learned: Learned,
    in_force: str,
    now: datetime,
) -> Plan:
    mean_hz = learned.rate_hz
    spend = budget(policy.goals, learned, now)
    if mean_hz is None or not spend.because:
        return unlimited
    # The load of the next hours is what counts: in a burst an answer costs no more than at any other time.
    affordable = [
        each
        for each in fitting
        if learned.draw_w(each, mean_hz) <= spend.allowed_w * (STAY if each.name == in_force else 1.0)
    ]
    if best in affordable:
        return unlimited
    if affordable:
        point = max(affordable, key=lambda each: _value(each, ladder, learned, mean_hz))
        return Plan(point, spend.because, unlimited.hurry)
    point = min(fitting, key=lambda each: learned.draw_w(each, mean_hz))
    because = f"{spend.because}, less than any point draws"
    return Plan(point, because, unlimited.hurry, _last_resort(spend, point, learned))


def _last_resort(spend: Budget, point: OperatingPoint, learned: Learned) -> float | None:
    """The rate that still reaches the horizon, Hz; None as long as it can be reached by answering less later on.

    An answer costs the same now and later, but later more is known: a supply may have come. So load is shed
    only when all that is left is what the device draws without answering, and not when even that is too much.
    """
    idle_w = learned.power.offset
    if not SHED_FROM * idle_w <= spend.allowed_w <= SHED_BELOW * idle_w:
        return None
    answer_j = learned.answer_j(point) * learned.power.slope
    return max(0.0, spend.allowed_w - idle_w) / answer_j if answer_j > 0 else None


def _value(point: OperatingPoint, ladder: Ladder, learned: Learned, rate_hz: float) -> tuple[float, float]:
    """Correct answers a second, and between equals the one that loses less by its certificate."""
    risk = loss(point, ladder)
    return accuracy(point) * learned.served_hz(point, rate_hz), -(1.0 if risk is None else risk)
