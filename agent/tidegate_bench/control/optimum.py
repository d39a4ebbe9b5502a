"""The best a day allows, by dynamic programming with full knowledge of it: the yardstick, never a controller.

Backwards over steps of five minutes, the value of each charge and temperature is what can still be answered right;
actions are the operating points, time shared between neighbours, and a pause. Switches cost nothing here. The
plan is then played in the simulator like any policy, so that what is compared with was really reached.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.boards.device import Device
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.ladder import Ladder
from tidegate.policy.choice import accuracy
from tidegate.policy.policy import Goals
from tidegate.simulation.run import Act, Chooser, Moment, deadline_s
from tidegate.simulation.scenario import Scenario

STEP_S = 300
_CHARGES = 181
_SHARES = (2 / 3, 1 / 3)
_SLICE_S = 30
_BROKEN = 3.0
"""What a second of a broken goal costs, in right answers at the busiest load: more than breaking it ever gains."""

Grid = npt.NDArray[np.float64]


class OptimumError(TidegateError, ValueError):
    """A case the yardstick is not made for; the message says which."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Action:
    """The share of the time at the upper point, the rest at the lower one; (-1, -1) is a pause."""

    upper: int
    lower: int
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The best action at each step, charge and temperature; `worth` is what the grid says the day brings."""

    actions: tuple[Action, ...]
    best: npt.NDArray[np.uint8]
    charges_j: Grid
    degrees: Grid
    worth: float


def optimum(ladder: Ladder, scenario: Scenario, device: Device, goals: Goals) -> Plan:
    """Solve the day backwards. Raises OptimumError for an energy budget on a device with a battery.

    A daily budget on a device without one is the same problem: a charge that nothing refills.
    """
    full_j, supplied = _store(device, goals)
    charges = np.linspace(0.0, full_j, _CHARGES) if full_j else np.array([0.0, 1.0])
    degrees = _degrees(scenario, device, goals)
    actions = _actions(ladder)
    steps = scenario.seconds // STEP_S
    value = np.zeros((charges.size, degrees.size))
    best = np.zeros((steps, charges.size, degrees.size), dtype=np.uint8)
    loads, competing = np.array(scenario.requests_hz), np.array(scenario.competing)
    ambients, supplies = np.array(scenario.ambient_c), np.array(scenario.supply_w) * supplied
    cost = _BROKEN * float(loads.max(initial=0.0))
    until_s = deadline_s(goals, scenario)
    for step in range(steps - 1, -1, -1):
        span = slice(step * STEP_S, (step + 1) * STEP_S)
        world = _World(loads[span], competing[span], float(ambients[span].mean()), float(supplies[span].mean()))
        early = cost if span.start < until_s or goals.energy_per_day_j is not None else 0.0
        settle = _Settling(value, charges, degrees, world, device, full_j, early)
        candidates = np.stack(
            [settle.worth(_rates(each, ladder, world, device, goals), cost, goals) for each in actions]
        )
        best[step] = np.argmax(candidates, axis=0)
        value = np.max(candidates, axis=0)
        if full_j:
            value[0] = settle.worth_dead()
    begins_c = scenario.ambient_c[0] + device.heat_k_per_w * device.idle_w
    begins_j = full_j if goals.energy_per_day_j is not None else full_j * scenario.charge_percent / 100.0
    rows = _blend(value, charges, np.array([begins_j]), axis=0)
    worth = float(_blend(rows, degrees, np.array([begins_c]), axis=1)[0, 0])
    return Plan(actions, best, charges, degrees, worth)


def by_plan(plan: Plan, ladder: Ladder) -> Chooser:
    """The chooser that knows the day: looks the true state up in the plan and shares time as it says."""
    points = ladder.points

    def choose(moment: Moment) -> Act:
        step = min(moment.second // STEP_S, len(plan.best) - 1)
        left_j = moment.charge_j if moment.budget_j is None else max(0.0, moment.budget_j)
        charge = int(np.argmin(np.abs(plan.charges_j - left_j)))
        degree = int(np.argmin(np.abs(plan.degrees - moment.celsius)))
        action = plan.actions[int(plan.best[step, charge, degree])]
        if action.upper < 0:
            return Act(points[-1], 0.0, asleep=True)
        cycle_s = 3 * _SLICE_S
        return Act(points[action.upper if moment.second % cycle_s < action.share * cycle_s else action.lower])

    return choose


@dataclass(frozen=True, slots=True)
class _World:
    loads_hz: Grid
    competing: Grid
    ambient_c: float
    supply_w: float


@dataclass(frozen=True, slots=True)
class _Rates:
    """Means over a step: right answers a second, right ones in time, the draw, and the share of time too late."""

    right_hz: float
    draw_w: float
    late: float


def _rates(action: Action, ladder: Ladder, world: _World, device: Device, goals: Goals) -> _Rates:
    if action.upper < 0:
        awake_w = device.idle_w + device.other_w * float(world.competing.mean())
        return _Rates(0.0, awake_w if device.asleep_w is None else device.asleep_w, 0.0)
    right_hz, draw_w, late = 0.0, 0.0, 0.0
    for index, share in ((action.upper, action.share), (action.lower, 1.0 - action.share)):
        point = ladder.points[index]
        slow = 1.0 / (1.0 - world.competing)
        served = np.minimum(world.loads_hz, 1e3 / (point.figures.latency_p50_ms * slow))
        limit_ms = math.inf if goals.latency_p95_ms is None else goals.latency_p95_ms
        too_late = (point.figures.latency_p95_ms * slow > limit_ms) & (served > 0)
        right_hz += share * accuracy(point) * float((served * ~too_late).mean())
        draws = device.idle_w + device.other_w * world.competing + served * device.answer_j(point)
        draw_w += share * float(draws.mean())
        late += share * float(too_late.mean())
    return _Rates(right_hz, draw_w, late)


class _Settling:
    """What an action in one step leads to, on the whole grid of charges and temperatures."""

    def __init__(
        self, value: Grid, charges: Grid, degrees: Grid, world: _World, device: Device, full_j: float, early: float
    ) -> None:
        self._value, self._charges, self._degrees = value, charges, degrees
        self._world, self._device, self._full_j, self._early = world, device, full_j, early

    def worth(self, rates: _Rates, cost: float, goals: Goals) -> Grid:
        """Right answers of this step and the rest of the day, less what broken goals cost."""
        alive, charges = self._charged(rates.draw_w)
        equilibrium_c = self._world.ambient_c + self._device.heat_k_per_w * rates.draw_w
        kept = math.exp(-STEP_S / self._device.heat_span_s)
        degrees = equilibrium_c + (self._degrees - equilibrium_c) * kept
        ceiling_c = math.inf if goals.temperature_ceiling_c is None else goals.temperature_ceiling_c
        hot = ((self._degrees > ceiling_c).astype(float) + (degrees > ceiling_c)) / 2
        now = STEP_S * (rates.right_hz * (1.0 - hot) - cost * np.minimum(1.0, hot + rates.late))
        then = _blend(_blend(self._value, self._charges, charges, axis=0), self._degrees, degrees, axis=1)
        dead: Grid = (1.0 - alive) * STEP_S * self._early
        return alive[:, None] * now[None, :] - dead[:, None] + then

    def worth_dead(self) -> Grid:
        """An empty battery answers nothing and fills up when there is a supply."""
        gained = min(self._world.supply_w, self._device.charge_w) * self._device.charge_efficiency * STEP_S
        kept = math.exp(-STEP_S / self._device.heat_span_s)
        degrees = self._world.ambient_c + (self._degrees - self._world.ambient_c) * kept
        charges = np.array([min(gained, self._full_j)])
        then = _blend(_blend(self._value, self._charges, charges, axis=0), self._degrees, degrees, axis=1)
        row: Grid = then[0] - STEP_S * self._early
        return row

    def _charged(self, draw_w: float) -> tuple[Grid, Grid]:
        """The share of the step that each charge lasts, and the charge afterwards."""
        if not self._full_j:
            on = 1.0 if self._world.supply_w > 0 else 0.0
            return np.full_like(self._charges, on), self._charges
        net_w = self._world.supply_w - draw_w
        if net_w >= 0:
            gained = min(net_w, self._device.charge_w) * self._device.charge_efficiency * STEP_S
            return np.ones_like(self._charges), np.minimum(self._charges + gained, self._full_j)
        lost = -net_w / self._device.cold_share(self._world.ambient_c) * STEP_S
        return np.minimum(1.0, self._charges / lost), np.maximum(0.0, self._charges - lost)


def _store(device: Device, goals: Goals) -> tuple[float, float]:
    """The energy in store when full, J, and whether the supply refills it (1) or not (0)."""
    if goals.energy_per_day_j is None:
        return (0.0 if device.battery_wh is None else device.battery_wh * 3600.0), 1.0
    if device.battery_wh is not None:
        raise OptimumError("an energy budget on a device with a battery: simulate it on one without")
    return goals.energy_per_day_j, 0.0


def _degrees(scenario: Scenario, device: Device, goals: Goals) -> Grid:
    """Temperatures of the grid, close together below the ceiling, which is one of them."""
    edge_c = device.throttle_c if goals.temperature_ceiling_c is None else goals.temperature_ceiling_c
    coldest, hottest = min(*scenario.ambient_c, edge_c - 30.0), max(*scenario.ambient_c, edge_c) + 20.0
    parts = (
        np.linspace(coldest, edge_c - 10.0, 8),
        np.linspace(edge_c - 10.0, edge_c + 1.0, 23),
        np.linspace(edge_c + 1.0, hottest, 4),
    )
    degrees: Grid = np.unique(np.concatenate(parts))
    return degrees


def _actions(ladder: Ladder) -> tuple[Action, ...]:
    points = range(len(ladder.points))
    pure = [Action(index, index, 1.0) for index in points]
    mixed = [Action(index, index + 1, share) for index in points[:-1] for share in _SHARES]
    return (*pure, *mixed, Action(-1, -1, 1.0))


def _blend(value: Grid, nodes: Grid, wanted: Grid, *, axis: int) -> Grid:
    """Linear interpolation along one axis; beyond the nodes the outermost holds."""
    inside = np.clip(wanted, nodes[0], nodes[-1])
    below = np.clip(np.searchsorted(nodes, inside, side="right") - 1, 0, nodes.size - 2)
    share = (inside - nodes[below]) / (nodes[below + 1] - nodes[below])
    share = share[:, None] if axis == 0 else share[None, :]
    blended: Grid = np.take(value, below, axis) * (1.0 - share) + np.take(value, below + 1, axis) * share
    return blended
