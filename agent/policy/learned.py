"""What is learned about the device while it runs: slowdown, power, heat, load and the size of its battery.

All of it is carried in the control state and replaced, never mutated: `decide` stays a function of its inputs.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from agent.models.ladder import Ladder, OperatingPoint
from agent.policy.kalman import Factor, Line
from agent.policy.readings import LATENCY, REQUEST_RATE
from drivers.reading import BATTERY, POWER, POWER_SOURCE, TEMPERATURE, Snapshot

LONGEST_STEP_S = 60.0
"""A longer gap between two decisions is a sleep or a stopped clock; nothing is learned across it."""
MEAN_SPAN_S = 4 * 3600.0
"""Over how long load and other draw are averaged for what lies hours ahead; at first, over what there is."""
_SLOPES = (0.3, 3.0)
SUPPLY_SPAN_S = 600.0
ACCOUNT_PERCENT = 3.0
"""The change of charge over which energy is accounted: gauges say whole percents."""
_MOST_SLOWDOWN = 100.0


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


@dataclass(frozen=True, slots=True)
class Mark:
    """Where an energy account began: charge and time; what was drawn since, and how much of it for answers, J."""

    percent: float
    at: float
    drawn_j: float = 0.0
    answered_j: float = 0.0
    measured: bool = True


@dataclass(frozen=True, slots=True)
class Learned:
    """The model of the device.

    `power` maps the ladder's own estimate of inference power (W) to the device's draw (W); `heat` maps the draw,
    smoothed over `prior.heat_span_s`, to the temperature. `rate_hz` and `base_w`, the draw without answers, are
    means over the last hours; `quiet_w` is the least of the latter. `joules_per_percent` is None until the
    capacity is stated or seen. `spent_j` is what the device drew since midnight of `day`.
    """

    prior: Prior = GENERIC
    at: float | None = None
    slowdown: Factor = Factor()  # noqa: RUF009 - frozen
    power: Line = Line(GENERIC.idle_w, 1.0, 4.0, 0.0, 0.1)  # noqa: RUF009 - frozen
    heat: Line = Line(GENERIC.ambient_c, GENERIC.heat_k_per_w, 100.0, 0.0, 4.0)  # noqa: RUF009 - frozen
    smooth_w: float | None = None
    rate_hz: float | None = None
    base_w: float | None = None
    quiet_w: float | None = None
    seen_s: float = 0.0
    supply_w: float = 0.0
    joules_per_percent: float | None = None
    external: bool = False
    charge_percent: float | None = None
    charge_seen_at: float | None = None
    mark: Mark | None = None
    day: int = 0
    spent_j: float = 0.0

    @classmethod
    def from_prior(cls, prior: Prior) -> "Learned":
        """Before anything was read."""
        return cls(
            prior=prior,
            power=Line(prior.idle_w, 1.0, max(1.0, prior.idle_w) ** 2 / 4, 0.0, 0.1),
            heat=Line(prior.ambient_c, prior.heat_k_per_w, 100.0, 0.0, (prior.heat_k_per_w / 3) ** 2),
            joules_per_percent=None if prior.battery_j is None else prior.battery_j / 100.0,
        )

    def answer_j(self, point: OperatingPoint) -> float:
        """The energy of one answer before anything was learned, J: measured at calibration, else estimated."""
        figures = point.figures
        if figures.energy_mj is not None:
            return figures.energy_mj / 1e3
        return self.prior.active_w * point.threads * figures.latency_p50_ms / 1e3

    def served_hz(self, point: OperatingPoint, asked_hz: float) -> float:
        """How many of the asked requests the point can answer."""
        busy_s = point.figures.latency_p50_ms / 1e3 * max(0.05, self.slowdown.mean)
        return min(asked_hz, 1.0 / busy_s) if busy_s > 0 else asked_hz

    def draw_w(self, point: OperatingPoint, asked_hz: float) -> float:
        """The device's predicted draw at a point under a load, W."""
        return max(0.0, self.power.at(self.answer_j(point) * self.served_hz(point, asked_hz)))

    def mean_draw_w(self, point: OperatingPoint, asked_hz: float) -> float:
        """The draw to expect over hours at a point under a load, W: other programs come and go."""
        answers_w = self.power.slope * self.answer_j(point) * self.served_hz(point, asked_hz)
        return self.mean_base_w + answers_w

    @property
    def mean_base_w(self) -> float:
        """The draw without answers to expect over hours, W."""
        return self.power.offset if self.base_w is None else self.base_w


def finite(snapshot: Snapshot, reading: str) -> float | None:
    """A fresh finite number, else None."""
    value = snapshot.number(reading)
    return value if value is not None and math.isfinite(value) else None


def observe(learned: Learned, snapshot: Snapshot, ladder: Ladder, point: str, now: datetime) -> Learned:
    """What is known after this snapshot, taken while `point` was in force."""
    current = next((each for each in ladder.points if each.name == point), ladder.full)
    rate_hz = finite(snapshot, REQUEST_RATE)
    step_s = 0.0 if learned.at is None else snapshot.at - learned.at
    if not 0.0 <= step_s <= LONGEST_STEP_S:
        return replace(learned, at=snapshot.at, mark=None, smooth_w=None)
    load_hz = rate_hz if rate_hz is not None else learned.rate_hz or 0.0
    slowdown = _slowdown(learned, snapshot, current, step_s)
    answer_w = learned.answer_j(current) * learned.served_hz(current, load_hz)
    measured_w = finite(snapshot, POWER)
    power = learned.power
    if measured_w is not None and measured_w >= 0:
        noise = (0.05 * measured_w + 0.05) ** 2
        power = _bounded(power.observe(answer_w, measured_w, noise, 1e-5 * step_s, 1e-6 * step_s))
    base_w = max(0.0, (measured_w or 0.0) - power.slope * answer_w)
    span_s = min(MEAN_SPAN_S, max(LONGEST_STEP_S, learned.seen_s))
    draw_w = measured_w if measured_w is not None else max(0.0, power.at(answer_w))
    smooth_w, heat = _heat(learned, snapshot, draw_w, step_s)
    day = now.toordinal()
    fresh = replace(
        learned,
        at=snapshot.at,
        slowdown=slowdown,
        power=power,
        heat=heat,
        smooth_w=smooth_w,
        rate_hz=_eased(learned.rate_hz, rate_hz, step_s, span_s),
        base_w=_eased(learned.base_w, None if measured_w is None else base_w, step_s, span_s),
        quiet_w=power.offset if learned.quiet_w is None else min(learned.quiet_w, power.offset),
        seen_s=learned.seen_s + step_s,
        day=day,
        spent_j=(learned.spent_j if day == learned.day else 0.0) + draw_w * step_s,
    )
    return _battery(fresh, snapshot, step_s, draw_w, answer_w, measured=measured_w is not None)


def _bounded(power: Line) -> Line:
    # An idle hour tells nothing about the cost of answers, and noise must not make them free.
    return replace(power, slope=min(_SLOPES[1], max(_SLOPES[0], power.slope)))


def _slowdown(learned: Learned, snapshot: Snapshot, point: OperatingPoint, step_s: float) -> Factor:
    latency_ms = finite(snapshot, LATENCY)
    if latency_ms is None or latency_ms <= 0 or point.figures.latency_p95_ms <= 0:
        return learned.slowdown
    seen = min(_MOST_SLOWDOWN, latency_ms / point.figures.latency_p95_ms)
    return learned.slowdown.observe(seen, 0.02, 0.001 * step_s)


def _heat(learned: Learned, snapshot: Snapshot, draw_w: float, step_s: float) -> tuple[float, Line]:
    kept = math.exp(-step_s / learned.prior.heat_span_s)
    smooth_w = draw_w if learned.smooth_w is None else draw_w + (learned.smooth_w - draw_w) * kept
    celsius = finite(snapshot, TEMPERATURE)
    if celsius is None:
        return smooth_w, learned.heat
    return smooth_w, learned.heat.observe(smooth_w, celsius, 0.25, 0.003 * step_s, 1e-5 * step_s)


def _eased(old: float | None, new: float | None, step_s: float, span_s: float) -> float | None:
    if new is None:
        return old
    return new if old is None else old + (new - old) * min(1.0, step_s / span_s)


def _battery(
    learned: Learned, snapshot: Snapshot, step_s: float, draw_w: float, answer_w: float, *, measured: bool
) -> Learned:
    """The account between two marks of the charge: what a percent holds, what the supply gives, what is left."""
    external = snapshot.word(POWER_SOURCE) == "external"
    if external is not learned.external:
        learned = replace(learned, external=external, supply_w=draw_w if external else 0.0, mark=None)
    percent = finite(snapshot, BATTERY)
    reckoned = _reckoned(learned, (learned.supply_w - draw_w) * step_s)
    if percent is None:
        # Without its gauge the charge is reckoned on from what is drawn; `budget` trusts it for a while.
        return replace(learned, mark=None, charge_percent=reckoned)
    charge = percent if reckoned is None else min(percent + 0.5, max(percent - 0.5, reckoned))
    learned = replace(learned, charge_percent=charge, charge_seen_at=snapshot.at)
    mark = learned.mark
    if mark is None:
        return replace(learned, mark=Mark(percent, snapshot.at))
    mark = Mark(
        mark.percent,
        mark.at,
        mark.drawn_j + draw_w * step_s,
        mark.answered_j + answer_w * step_s,
        mark.measured and measured,
    )
    if abs(mark.percent - percent) < ACCOUNT_PERCENT and snapshot.at - mark.at < SUPPLY_SPAN_S * (
        1.0 if external else 6.0
    ):
        return replace(learned, mark=mark)
    closed = _closed(learned, mark, mark.percent - percent, snapshot.at - mark.at)
    return replace(closed, mark=Mark(percent, snapshot.at))


def _reckoned(learned: Learned, gained_j: float) -> float | None:
    if learned.charge_percent is None or not learned.joules_per_percent:
        return learned.charge_percent
    return min(100.0, max(0.0, learned.charge_percent + gained_j / learned.joules_per_percent))


def _closed(learned: Learned, mark: Mark, fallen: float, span_s: float) -> Learned:
    """One finished account between two marks, booked where it tells something."""
    per_percent = learned.joules_per_percent
    if learned.external:
        if per_percent is None or span_s <= 0:
            return learned
        supply_w = max(0.0, (mark.drawn_j - fallen * per_percent) / span_s)
        return replace(learned, supply_w=supply_w)
    if fallen < ACCOUNT_PERCENT:
        return learned
    if mark.measured:
        seen = mark.drawn_j / fallen
        kept = seen if per_percent is None else per_percent + 0.3 * (seen - per_percent)
        return replace(learned, joules_per_percent=kept)
    if per_percent is None or span_s <= 0:
        return learned
    drawn_w = fallen * per_percent / span_s
    power = learned.power.observe(mark.answered_j / span_s, drawn_w, (0.2 * drawn_w) ** 2, 0.01, 0.001)
    return replace(learned, power=_bounded(power))
