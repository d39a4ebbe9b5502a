"""The best operating point within the goals: the most correct answers that budgets, heat and deadline allow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.models.ladder import OperatingPoint
from tidegate.policy.budget import Budget, budget
from tidegate.policy.duty_cycle import Awake, awake
from tidegate.policy.learned import Learned, Offer, finite
from tidegate.policy.policy import Assumption, Policy
from tidegate.policy.readings import LATENCY, REQUEST_RATE
from tidegate_drivers.reading import TEMPERATURE, Snapshot

HEAT_HORIZON_S = 90.0
"""How far ahead heat is looked at: past the dwell, so that a step down is done before the ceiling is reached."""
HEAT_MARGIN_C = 1.0
IN_VAIN_C = 3.0
"""How far over the margin an idle device must be reckoned to get before load is no longer shed for heat."""
LAST_HOURS_S = 7200.0
"""How long before the horizon other programs are taken to go on as they do."""
_LEAST_SLOPE = 0.05
SHED_FROM, SHED_BELOW = 0.94, 1.05
"""The budgets, in draws of the idle device, within which load is shed: above it is early, below it is in vain."""
STAY = 1.03
"""How far over its budget the point in force may draw before it is left; at 1, two points would alternate."""


@dataclass(frozen=True, slots=True)
class Setpoint:
    """The point to be at; `because` in words where a goal holds it below the rule's.

    `urgent` skips the dwell on the way down. `rate_hz` limits the load where even this point draws too much; None
    for no limit. `awake` is how to share the time where the goals have it sleep.
    """

    point: OperatingPoint
    because: str = ""
    urgent: bool = False
    rate_hz: float | None = None
    awake: Awake | None = None


def best_setpoint(
    points: Sequence[OperatingPoint],
    policy: Policy,
    snapshot: Snapshot,
    learned: Learned,
    in_force: str,
    now: datetime,
) -> Setpoint:
    """The best of `points` (from the rule's choice downwards, never empty) under the policy's goals. Total."""
    goals = policy.goals
    reading_hz = finite(snapshot, REQUEST_RATE)
    rate_hz = reading_hz if reading_hz is not None else learned.rate_hz
    if rate_hz is None:
        return Setpoint(points[0])
    fitting, why, urgent, most_hz = list(points), "", False, None
    if goals.latency_p95_ms is not None:
        limit_ms = goals.latency_p95_ms
        slow = max(0.05, learned.slowdown.mean + learned.slowdown.variance**0.5)
        seen_ms = finite(snapshot, LATENCY)
        quick = [
            each
            for each in fitting
            if each.figures.latency_p95_ms * slow <= limit_ms
            # What was seen of the point in force goes before what is reckoned of it.
            and not (each.name == in_force and seen_ms is not None and seen_ms > limit_ms)
        ]
        if len(quick) < len(fitting):
            why = f"latency within {limit_ms:g} ms at {slow:.2g} times the calibrated one"
            urgent = all(each.name != in_force for each in quick)
            fitting = quick or [min(fitting, key=lambda each: each.figures.latency_p95_ms)]
    offers = learned.offers(fitting, rate_hz, learned.power.offset)
    celsius = _celsius(policy, snapshot)
    if goals.temperature_ceiling_c is not None and celsius is not None:
        ceiling_c = goals.temperature_ceiling_c - HEAT_MARGIN_C
        most_w = _coolest_w(learned, celsius, ceiling_c)
        cool = [each for each in offers if each.draw_w <= most_w]
        if len(cool) < len(offers):
            why = f"temperature {celsius:.3g} C is to stay below {goals.temperature_ceiling_c:g} C"
            if math.isinf(celsius):
                why = "temperature is missing, assumed hot"
            urgent = urgent or celsius > ceiling_c
        if not cool:
            cool = [min(offers, key=_draw)]
            # Without a reading there is no saying how much less would be cool enough.
            if math.isfinite(celsius) and learned.heat.at(learned.power.offset) < ceiling_c + IN_VAIN_C:
                most_hz = _rate_for(most_w - learned.power.offset, cool[0].point, learned)
        offers = cool
    best = max(offers, key=_worth)
    fitting = [each.point for each in offers]
    return _within_budget(fitting, Setpoint(best.point, why, urgent, most_hz), policy, learned, in_force, now)


def _celsius(policy: Policy, snapshot: Snapshot) -> float | None:
    """The temperature to act on: infinite where it is missing and assumed hot, None where that is ignored."""
    celsius = finite(snapshot, TEMPERATURE)
    if celsius is None and policy.on_missing.get(TEMPERATURE) is Assumption.HOT:
        return math.inf
    return celsius


def _coolest_w(learned: Learned, celsius: float, ceiling_c: float) -> float:
    """The draw with which the ceiling is just not reached within HEAT_HORIZON_S, W."""
    smooth_w = learned.smooth_w or 0.0
    # What the line does not explain of the present temperature is taken to stay.
    unexplained_c = celsius - learned.heat.at(smooth_w)
    slope = max(_LEAST_SLOPE, learned.heat.slope)
    end_w = (ceiling_c - unexplained_c - learned.heat.offset) / slope
    kept = math.exp(-HEAT_HORIZON_S / learned.prior.heat_span_s)
    return (end_w - smooth_w * kept) / (1.0 - kept)


def _rate_for(answers_w: float, point: OperatingPoint, learned: Learned) -> float | None:
    """The rate at which answers draw this much, Hz; None where they cost nothing."""
    answer_j = learned.answer_j(point) * learned.power.slope
    return max(0.0, answers_w) / answer_j if answer_j > 0 else None


def _within_budget(
    fitting: Sequence[OperatingPoint],
    unlimited: Setpoint,
    policy: Policy,
    learned: Learned,
    in_force: str,
    now: datetime,
) -> Setpoint:
    mean_hz = learned.rate_hz
    shared = awake(fitting, policy.goals, learned, now)
    if shared is not None:
        return replace(unlimited, point=shared.point, because=shared.because, awake=shared)
    spend = budget(policy.goals, learned, now)
    if mean_hz is None or not spend.because:
        return unlimited
    # The load of the next hours is what counts: in a burst an answer costs no more than at any other time.
    offers = learned.offers(fitting, mean_hz, learned.mean_base_w)
    affordable = [
        each for each in offers if each.draw_w <= spend.allowed_w * (STAY if each.point.name == in_force else 1.0)
    ]
    if any(each.point is unlimited.point for each in affordable):
        return unlimited
    if affordable:
        return replace(unlimited, point=max(affordable, key=_worth).point, because=spend.because)
    point = min(offers, key=_draw).point
    rates = [rate for rate in (unlimited.rate_hz, _last_resort(spend, point, learned)) if rate is not None]
    because = f"{spend.because}, less than any point draws"
    return Setpoint(point, because, unlimited.urgent, min(rates, default=None))


def _last_resort(spend: Budget, point: OperatingPoint, learned: Learned) -> float | None:
    """The rate that still reaches the horizon, Hz; None as long as it can be reached by answering less later on.

    An answer costs the same now and later, but later more is known: a supply may have come, or other programs
    may have gone. So load is shed only when what is left is all that the device draws without answering even if
    they go, and not when it is too little if they go on as they do.
    """
    idle_w = quiet_w = learned.mean_base_w
    if spend.left_s > LAST_HOURS_S and learned.quiet_w is not None:
        quiet_w = min(idle_w, learned.quiet_w)
    if spend.most_w > SHED_BELOW * quiet_w or spend.most_w < SHED_FROM * idle_w:
        return None
    return _rate_for(spend.most_w - quiet_w, point, learned)


def _worth(offer: Offer) -> tuple[float, float]:
    """Right answers a second; between equals the one that promises more."""
    risk = offer.point.certified_risk
    return offer.right_hz, -1.0 if risk is None else -risk


def _draw(offer: Offer) -> float:
    return offer.draw_w
