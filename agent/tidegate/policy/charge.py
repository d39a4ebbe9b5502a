"""The battery as far as it is known: its charge, what a percent holds, and what a supply gives."""

from dataclasses import dataclass, replace

from tidegate.policy.kalman import Line

SUPPLY_SPAN_S = 600.0
COUNT_PERCENT = 3.0
"""The change of charge over which energy is counted: gauges say whole percents."""
_NEW_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Draw:
    """The device's draw over one step, W: whether it was measured, and the ladder's estimate of answers in it."""

    w: float
    answers_w: float
    measured: bool


@dataclass(frozen=True, slots=True)
class EnergyCount:
    """What was drawn since a reading of the gauge, at `percent` and time `at`; how much of it for answers, J."""

    percent: float
    at: float
    drawn_j: float = 0.0
    answered_j: float = 0.0
    measured: bool = True

    def drawn(self, draw: Draw, step_s: float) -> "EnergyCount":
        """The count after `step_s` more seconds at this draw."""
        return EnergyCount(
            self.percent,
            self.at,
            self.drawn_j + draw.w * step_s,
            self.answered_j + draw.answers_w * step_s,
            self.measured and draw.measured,
        )


@dataclass(frozen=True, slots=True)
class Charge:
    """`percent` is reckoned between whole percents of the gauge, and on without it; `seen_at` is its last word.

    `joules_per_percent` is None until the capacity is stated or seen; `supply_w` is 0 on battery.
    """

    joules_per_percent: float | None = None
    percent: float | None = None
    seen_at: float | None = None
    external: bool = False
    supply_w: float = 0.0
    count: EnergyCount | None = None

    def observe(
        self, percent: float | None, *, external: bool, at: float, step_s: float, draw: Draw, power: Line
    ) -> tuple["Charge", Line]:
        """What is known after one step; also the power line, which a battery without a meter tells about."""
        known = self
        if external is not self.external:
            known = replace(self, external=external, supply_w=draw.w if external else 0.0, count=None)
        reckoned = known.percent
        if reckoned is not None and known.joules_per_percent:
            gained = (known.supply_w - draw.w) * step_s / known.joules_per_percent
            reckoned = min(100.0, max(0.0, reckoned + gained))
        if percent is None:
            return known._with(reckoned, known.seen_at, None), power  # noqa: SLF001 - its own class
        charge = percent if reckoned is None else min(percent + 0.5, max(percent - 0.5, reckoned))
        count = EnergyCount(percent, at) if known.count is None else known.count.drawn(draw, step_s)
        longest_s = SUPPLY_SPAN_S if external else 6 * SUPPLY_SPAN_S
        known = known._with(charge, at, count)  # noqa: SLF001 - its own class
        if abs(count.percent - percent) < COUNT_PERCENT and at - count.at < longest_s:
            return known, power
        calibrated, power = known._calibrated(count, count.percent - percent, at - count.at, power)  # noqa: SLF001 - its own class
        return replace(calibrated, count=EnergyCount(percent, at)), power

    def _with(self, percent: float | None, seen_at: float | None, count: EnergyCount | None) -> "Charge":
        return Charge(self.joules_per_percent, percent, seen_at, self.external, self.supply_w, count)

    def _calibrated(self, count: EnergyCount, fallen: float, span_s: float, power: Line) -> tuple["Charge", Line]:
        """What a finished count tells, where it tells something."""
        per_percent = self.joules_per_percent
        if self.external:
            if per_percent is None or span_s <= 0:
                return self, power
            return replace(self, supply_w=max(0.0, (count.drawn_j - fallen * per_percent) / span_s)), power
        if fallen < COUNT_PERCENT:
            return self, power
        if count.measured:
            seen = count.drawn_j / fallen
            kept = seen if per_percent is None else per_percent + _NEW_SHARE * (seen - per_percent)
            return replace(self, joules_per_percent=kept), power
        if per_percent is None or span_s <= 0:
            return self, power
        drawn_w = fallen * per_percent / span_s
        return self, power.observe(count.answered_j / span_s, drawn_w, (0.2 * drawn_w) ** 2, 0.01, 0.001)
