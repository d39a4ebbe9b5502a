"""What is learned about the device while it runs: slowdown, power, heat, load and the size of its battery.

All of it is carried in the control state and replaced, never mutated: `decide` stays a function of its inputs.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.charge import Charge, Draw
from tidegate.policy.choice import accuracy
from tidegate.policy.kalman import Factor, Line
from tidegate.policy.readings import LATENCY, REQUEST_RATE
from tidegate_drivers.reading import BATTERY, POWER, POWER_SOURCE, TEMPERATURE, Snapshot

LONGEST_STEP_S = 60.0
"""A longer gap between two decisions is a sleep or a stopped clock; nothing is learned across it."""
MEAN_SPAN_S = 24 * 3600.0
"""Over how long load and other draw are averaged for what lies hours ahead; at first, over what there is."""
_SLOPES = (0.3, 3.0)
_MOST_SLOWDOWN = 100.0
_LEAST_SLOWDOWN = 0.05


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of a device before anything was read from it; from the board's profile where there is one.

    `active_w` is drawn by one busy core above `idle_w`; heat rises by `heat_k_per_w` within some `heat_span_s`.
    """

    idle_w: float = 3.0
    active_w: float = 3.0
    battery_j: float | None = None
    ambient_c: float = 30.0
    heat_k_per_w: float = 5.0
    heat_span_s: float = 300.0


GENERIC = Prior()


class Offer(NamedTuple):
    """What a point would bring under a load: right answers a second, and the draw of the whole device for them."""

    point: OperatingPoint
    right_hz: float
    draw_w: float


@dataclass(frozen=True, slots=True)
class Learned:
    """What the controller has learned about the device.

    `power` maps the ladder's own estimate of inference power (W) to the device's draw (W); `heat` maps the draw,
    smoothed over `prior.heat_span_s`, to the temperature. `rate_hz` and `base_w`, the draw without answers, are
    means over the last day; `quiet_w` is the least of the latter. `spent_j` is what the device drew since
    midnight of `day`; `limit_hz` is the rate that the last decision let in.
    """

    prior: Prior
    slowdown: Factor
    power: Line
    heat: Line
    charge: Charge
    at: float | None = None
    smooth_w: float | None = None
    rate_hz: float | None = None
    base_w: float | None = None
    quiet_w: float | None = None
    limit_hz: float | None = None
    seen_s: float = 0.0
    day: int = 0
    spent_j: float = 0.0

    @classmethod
    def from_prior(cls, prior: Prior = GENERIC) -> "Learned":
        """The estimates before the first reading, with the variances that the prior deserves."""
        return cls(
            prior,
            Factor(),
            power=Line(prior.idle_w, 1.0, max(1.0, prior.idle_w) ** 2 / 4, 0.0, 0.1),
            heat=Line(prior.ambient_c, prior.heat_k_per_w, 100.0, 0.0, (prior.heat_k_per_w / 3) ** 2),
            charge=Charge(None if prior.battery_j is None else prior.battery_j / 100.0),
        )

    @property
    def mean_base_w(self) -> float:
        """The draw without answers to expect over hours, W: other programs come and go."""
        return self.power.offset if self.base_w is None else self.base_w

    def heat_w(self, celsius: float) -> float:
        """The steady draw that a temperature stands for, W."""
        return (celsius - self.heat.offset) / self.heat.slope if self.heat.slope > 0 else 0.0

    def answer_j(self, point: OperatingPoint) -> float:
        """The energy of one answer before anything was learned, J: measured at calibration, else estimated."""
        figures = point.figures
        if figures.energy_mj is not None:
            return figures.energy_mj / 1e3
        return self.prior.active_w * point.threads * figures.busy_ms / 1e3

    def served_hz(self, point: OperatingPoint, asked_hz: float) -> float:
        """How many of the asked requests the point can answer."""
        busy_s = point.figures.busy_ms / 1e3 * max(_LEAST_SLOWDOWN, self.slowdown.mean)
        return min(asked_hz, 1.0 / busy_s) if busy_s > 0 else asked_hz

    def offers(self, points: Iterable[OperatingPoint], asked_hz: float, base_w: float) -> list[Offer]:
        """What each point would bring under a load, on a device that draws `base_w` without answering."""
        slope, slow_s = self.power.slope, max(_LEAST_SLOWDOWN, self.slowdown.mean) / 1e3
        offers = []
        for point in points:
            # As `served_hz`, unrolled: this runs for every point in every decision.
            busy_s = point.figures.busy_ms * slow_s
            served_hz = asked_hz if busy_s * asked_hz <= 1.0 else 1.0 / busy_s
            draw_w = base_w + slope * self.answer_j(point) * served_hz
            offers.append(Offer(point, accuracy(point) * served_hz, draw_w))
        return offers


def finite(snapshot: Snapshot, reading: str) -> float | None:
    """The reading's value if it is fresh and a finite number, else None."""
    value = snapshot.number(reading)
    return value if value is not None and math.isfinite(value) else None


def observe(learned: Learned, snapshot: Snapshot, ladder: Ladder, point: str, now: datetime) -> Learned:
    """What is known after this snapshot, taken while `point` was in force."""
    step_s = 0.0 if learned.at is None else snapshot.at - learned.at
    if not 0.0 <= step_s <= LONGEST_STEP_S:
        return replace(learned, at=snapshot.at, charge=replace(learned.charge, count=None), smooth_w=None)
    current = next((each for each in ladder.points if each.name == point), ladder.full)
    rate_hz = finite(snapshot, REQUEST_RATE)
    load_hz = rate_hz if rate_hz is not None else learned.rate_hz or 0.0
    let_in_hz = load_hz if learned.limit_hz is None else min(load_hz, learned.limit_hz)
    answers_w = learned.answer_j(current) * learned.served_hz(current, let_in_hz)
    measured_w = finite(snapshot, POWER)
    power, base_w = learned.power, None
    if measured_w is not None and measured_w >= 0:
        noise = (0.05 * measured_w + 0.05) ** 2
        power = _bounded(power.observe(answers_w, measured_w, noise, 1e-5 * step_s, 1e-6 * step_s))
        base_w = max(0.0, measured_w - power.slope * answers_w)
    draw_w = measured_w if measured_w is not None else max(0.0, power.at(answers_w))
    charge, power = learned.charge.observe(
        finite(snapshot, BATTERY),
        external=snapshot.word(POWER_SOURCE) == "external",
        at=snapshot.at,
        step_s=step_s,
        draw=Draw(draw_w, answers_w, measured_w is not None),
        power=power,
    )
    smooth_w, heat = _heat(learned, snapshot, draw_w, step_s)
    span_s, day = min(MEAN_SPAN_S, max(LONGEST_STEP_S, learned.seen_s)), now.toordinal()
    return Learned(
        learned.prior,
        _slowdown(learned, snapshot, current, step_s),
        _bounded(power),
        heat,
        charge,
        at=snapshot.at,
        smooth_w=smooth_w,
        rate_hz=_eased(learned.rate_hz, rate_hz, step_s, span_s),
        base_w=_eased(learned.base_w, base_w, step_s, span_s),
        quiet_w=power.offset if learned.quiet_w is None else min(learned.quiet_w, power.offset),
        seen_s=learned.seen_s + step_s,
        day=day,
        spent_j=(learned.spent_j if day == learned.day else 0.0) + draw_w * step_s,
    )


def _bounded(power: Line) -> Line:
    # An idle hour tells nothing about the cost of answers, and noise must not make them free.
    if _SLOPES[0] <= power.slope <= _SLOPES[1]:
        return power
    return replace(power, slope=min(_SLOPES[1], max(_SLOPES[0], power.slope)))


def _slowdown(learned: Learned, snapshot: Snapshot, point: OperatingPoint, step_s: float) -> Factor:
    latency_ms = finite(snapshot, LATENCY)
    if latency_ms is None or latency_ms <= 0 or point.figures.latency_p95_ms <= 0:
        return learned.slowdown
    seen = min(_MOST_SLOWDOWN, latency_ms / point.figures.latency_p95_ms)
    return learned.slowdown.observe(seen, 0.02, 0.001 * step_s)


def _heat(learned: Learned, snapshot: Snapshot, draw_w: float, step_s: float) -> tuple[float, Line]:
    kept = math.exp(-step_s / learned.prior.heat_span_s)
    celsius = finite(snapshot, TEMPERATURE)
    before_w = learned.smooth_w
    if before_w is None:
        # At a start the past is unknown; the present temperature tells more of it than the present draw.
        warmed_w = draw_w if celsius is None else learned.heat_w(celsius)
        before_w = min(draw_w, max(learned.prior.idle_w, warmed_w))
    smooth_w = draw_w + (before_w - draw_w) * kept
    if celsius is None:
        return smooth_w, learned.heat
    return smooth_w, learned.heat.observe(smooth_w, celsius, 0.25, 0.003 * step_s, 1e-5 * step_s)


def _eased(old: float | None, new: float | None, step_s: float, span_s: float) -> float | None:
    if new is None:
        return old
    return new if old is None else old + (new - old) * min(1.0, step_s / span_s)
