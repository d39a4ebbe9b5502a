"""One policy on one simulated device through one day: the same `decide` as in the service, every few seconds."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tidegate.boards.device import Device
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.brown_out import VOLTAGE, Guard, after_loss
from tidegate.policy.choice import accuracy, allowed
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.learned import Learned
from tidegate.policy.policy import Goals, Policy
from tidegate.policy.readings import LATENCY, REQUEST_RATE, UNDER_VOLTAGE, UNITS
from tidegate.simulation.scenario import Scenario
from tidegate_drivers.reading import (
    BATTERY,
    POWER,
    POWER_SOURCE,
    TEMPERATURE,
    THROTTLED,
    Provenance,
    Reading,
    Snapshot,
    Unit,
    Value,
)

TICK_S = 10
"""How often the policy is consulted here; the service does it when a reading changes, at the same dwell."""
MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC)
_REVIVES_PERCENT = 3.0
_WARNS_ABOVE = 1.05
"""Boards report under-voltage from a little above the voltage that they fail at."""
BATTERY_VOLTAGE = f"{VOLTAGE}/battery"


@dataclass(frozen=True, slots=True)
class Act:
    """What a chooser wants until the next tick: a point, at most this many answers a second, or a pause.

    `asleep` has a device suspended that can be.
    """

    point: OperatingPoint
    rate_hz: float = float("inf")
    asleep: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """What a chooser is told: what sensors say, and for those who may know everything the true state.

    `budget_j` is what is left of the day's energy, None without such a goal. `lost_at` is the point at which the
    power was lost, at the first moment after that, else None.
    """

    second: int
    snapshot: Snapshot
    now: datetime
    charge_j: float
    celsius: float
    budget_j: float | None = None
    lost_at: str | None = None


Chooser = Callable[[Moment], Act]


@dataclass(slots=True)
class Totals:
    """The sums of a run. Violations are in seconds; answers given in such a second count in `correct` only."""

    asked: float = 0.0
    answered: float = 0.0
    correct: float = 0.0
    correct_within: float = 0.0
    energy_j: float = 0.0
    switches: int = 0
    over_temperature_s: int = 0
    over_latency_s: int = 0
    over_energy_s: int = 0
    dead_s: int = 0
    dead_early_s: int = 0
    throttled_s: int = 0
    brown_outs: int = 0
    rebooting_s: int = 0

    @property
    def violations_s(self) -> int:
        """Seconds in which a goal was broken."""
        return self.over_temperature_s + self.over_latency_s + self.over_energy_s + self.dead_early_s


@dataclass(frozen=True, slots=True)
class Sample:
    """The simulated device at one moment, for the chart."""

    second: int
    point: str
    battery_percent: float | None
    celsius: float
    draw_w: float
    answered_hz: float


@dataclass(slots=True)
class Run:
    """One controller's day: totals, and samples for the chart."""

    name: str
    totals: Totals = field(default_factory=Totals)
    diary: list[Sample] = field(default_factory=list)


def by_policy(policy: Policy, ladder: Ladder, prior_of: Device, *, guarded: bool = True) -> Chooser:
    """The chooser that the service is: it sees what sensors say and nothing else.

    `guarded`: with the guard against brown-outs; without it a device that comes back goes on where it was.
    """
    first = Learned.from_prior(prior_of.prior)
    state = ControlState(ladder.full.name, learned=first, guard=Guard(order=ladder.names) if guarded else None)
    points = {point.name: point for point in ladder.points}
    cheapest = allowed(ladder, policy.max_accuracy_loss)[-1].name

    def choose(moment: Moment) -> Act:
        nonlocal state
        sleeping = state.sleeping
        suspended = sleeping is not None and sleeping.alone and prior_of.asleep_w is not None
        # A system that is suspended decides nothing until its clock wakes it.
        if suspended and sleeping is not None and sleeping.wake_at is not None and moment.now < sleeping.wake_at:
            return Act(points[state.point], 0.0, asleep=True)
        if moment.lost_at is not None:
            before = state.guard
            guard = None
            if before is not None:
                guard = replace(after_loss(before.losses, moment.lost_at, before.supply), order=before.order)
            point = moment.lost_at if guard is None else cheapest
            state = ControlState(point, learned=first, guard=guard)
        decision = decide(moment.snapshot, policy, ladder, state, moment.now)
        state = decision.state
        if decision.paused or (not decision.fits and policy.no_fit == "refuse"):
            suspends = decision.state.sleeping is not None and decision.state.sleeping.alone
            return Act(points[decision.point], 0.0, asleep=suspends)
        rate_hz = decision.limit.rate_hz
        return Act(points[decision.point], float("inf") if rate_hz is None else rate_hz)

    return choose


def simulate(  # noqa: PLR0912, PLR0915 - one flat loop: a day of 86,400 steps is to pass in half a second
    name: str,
    choose: Chooser,
    scenario: Scenario,
    device: Device,
    goals: Goals,
    *,
    seed: int = 0,
    tick_s: int = TICK_S,
) -> Run:
    """Run the day. Pure: the same arguments give the same run; `seed` is of the sensors' noise."""
    run, totals = Run(name), Totals()
    noise = random.Random(seed)  # noqa: S311 - sensor noise, not a secret
    full_j = 0.0 if device.battery_wh is None else device.battery_wh * 3600.0
    charge_j = full_j * scenario.charge_percent / 100.0
    celsius = scenario.ambient_c[0] + device.heat_k_per_w * device.idle_w
    lasts_s = deadline_s(goals, scenario)
    ceiling_c = goals.temperature_ceiling_c if goals.temperature_ceiling_c is not None else 1e9
    limit_ms = goals.latency_p95_ms if goals.latency_p95_ms is not None else 1e9
    day_j = goals.energy_per_day_j if goals.energy_per_day_j is not None else 1e18
    spent_j, midnight_s = 0.0, 86400.0 - scenario.clock_s
    throttled = dead = False
    served_hz = draw_w = 0.0
    act: Act | None = None
    sags, back_s, lost_at = bool(device.brown_out_v and device.supply_ohm and full_j), 0, None
    volts: float | None = None
    heat_share = 1.0 / device.heat_span_s
    ambients, supplies, loads, rivals = (
        scenario.ambient_c,
        scenario.supply_w,
        scenario.requests_hz,
        scenario.competing,
    )
    for second in range(scenario.seconds):
        if second % tick_s == 0 and second >= back_s:
            now = MIDNIGHT + timedelta(seconds=scenario.clock_s + second)
            previous = act
            percent = 100.0 * charge_j / full_j if full_j else None
            slow = 1.0 / ((1.0 - rivals[second]) * (device.throttle_speed if throttled else 1.0))
            latency_ms = (
                slow * previous.point.figures.latency_p95_ms if previous is not None and served_hz else None
            )
            external = supplies[second] > 0.5
            volts = device.volts(charge_j / full_j, draw_w) if sags and not external else None
            under = None if not sags else volts is not None and volts < _WARNS_ABOVE * device.brown_out_v
            snapshot = _snapshot(
                second, scenario, noise, percent, celsius, draw_w, external, latency_ms, throttled, volts, under
            )
            left_j = None if goals.energy_per_day_j is None else day_j - spent_j
            act = choose(Moment(second, snapshot, now, charge_j, celsius, left_j, lost_at))
            lost_at = None
            point = act.point
            answer_j, busy_s = device.answer_j(point), point.figures.latency_p50_ms / 1e3
            peak_w = device.peak_w(point)
            p95_ms, right, rate_hz = point.figures.latency_p95_ms, accuracy(point), act.rate_hz
            totals.switches += previous is not None and previous.point is not point
            pause_s = _pause_s(device, previous, act)
            asleep_w = device.asleep_w if act.asleep else None
            run.diary.append(Sample(second, point.name, percent, celsius, draw_w, served_hz))
        if second == midnight_s:
            spent_j = 0.0
        load_hz, supply_w, rival = loads[second], supplies[second], rivals[second]
        totals.asked += load_hz
        if second < back_s:
            served_hz = draw_w = 0.0
            totals.rebooting_s += 1
        elif dead:
            served_hz = draw_w = 0.0
            totals.dead_s += 1
            totals.dead_early_s += second < lasts_s
        else:
            slow = 1.0 / ((1.0 - rival) * (device.throttle_speed if throttled else 1.0))
            served_hz = min(load_hz, rate_hz, 1.0 / (busy_s * slow)) * (1.0 - min(1.0, pause_s))
            pause_s = max(0.0, pause_s - 1.0)
            energy_j = answer_j * (device.throttle_energy if throttled else 1.0)
            awake_w = device.idle_w + device.other_w * rival + served_hz * energy_j
            draw_w = awake_w if asleep_w is None else asleep_w
            if sags and served_hz > 0.0 and supply_w <= 0.5:
                most_w = device.idle_w + device.other_w * rival + peak_w
                if device.volts(charge_j / full_j, most_w) < device.brown_out_v:
                    totals.brown_outs += 1
                    served_hz, lost_at = 0.0, point.name
                    back_s = tick_s * math.ceil((second + 1 + device.reboot_s) / tick_s)
                    act = None
            right_hz = served_hz * right
            spent_j += draw_w
            totals.energy_j += draw_w
            totals.answered += served_hz
            totals.correct += right_hz
            hot, late, over = celsius > ceiling_c, served_hz > 0.0 and p95_ms * slow > limit_ms, spent_j > day_j
            if hot or late or over:
                totals.over_temperature_s += hot
                totals.over_latency_s += late
                totals.over_energy_s += over
            else:
                totals.correct_within += right_hz
            totals.throttled_s += throttled
        celsius += (ambients[second] + device.heat_k_per_w * draw_w - celsius) * heat_share
        throttled = celsius >= (device.throttle_release_c if throttled else device.throttle_c)
        if full_j:
            net_w = supply_w - draw_w
            if net_w >= 0.0:
                charge_j = min(full_j, charge_j + min(net_w, device.charge_w) * device.charge_efficiency)
            else:
                charge_j = max(0.0, charge_j + net_w / device.cold_share(ambients[second]))
            dead = charge_j <= 0.0 if not dead else charge_j < full_j * _REVIVES_PERCENT / 100.0
        else:
            dead = supply_w <= 0.0
    run.totals = totals
    return run


def _pause_s(device: Device, before: Act | None, act: Act) -> float:
    """How long nothing is answered at the beginning of a tick, s."""
    if before is None:
        return 0.0
    switches_s = device.switch_s if before.point is not act.point else 0.0
    return switches_s + (device.resume_s if before.asleep and not act.asleep else 0.0)


def _snapshot(
    second: int,
    scenario: Scenario,
    noise: random.Random,
    percent: float | None,
    celsius: float,
    draw_w: float,
    external: bool,
    latency_ms: float | None,
    throttled: bool,
    volts: float | None,
    under_voltage: bool | None,
) -> Snapshot:
    """What sensors of the usual kind say: whole percents, tenths of a degree and 2 % of noise on power."""
    values: dict[str, Value | None] = {
        BATTERY: None if percent is None else float(round(min(100.0, percent))),
        TEMPERATURE: round(celsius + noise.uniform(-0.3, 0.3), 1),
        POWER: round(draw_w * noise.uniform(0.98, 1.02), 3) if draw_w else None,
        POWER_SOURCE: "external" if external else "battery",
        REQUEST_RATE: scenario.requests_hz[second],
        LATENCY: latency_ms,
        THROTTLED: "yes" if throttled else "no",
        UNDER_VOLTAGE: None if under_voltage is None else "yes" if under_voltage else "no",
        BATTERY_VOLTAGE: None if volts is None else round(volts, 2),
    }
    lost, at = scenario.lost[second], float(second)
    readings = {
        name: Reading(value, UNITS.get(name, Unit.VOLT), at, Provenance.ESTIMATED, "simulated")
        for name, value in values.items()
        if value is not None and name not in lost
    }
    return Snapshot(at, readings)


def deadline_s(goals: Goals, scenario: Scenario) -> float:
    """The second up to which the battery must last; 0 without such a goal."""
    if goals.battery_until is None:
        return 0.0
    until_s = goals.battery_until.hour * 3600.0 + goals.battery_until.minute * 60.0
    ahead_s = (until_s - scenario.clock_s) % 86400.0
    return min(float(scenario.seconds), ahead_s or 86400.0)
