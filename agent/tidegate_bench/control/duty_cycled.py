"""Solar nodes that sleep at night, against the same ones always on: answers a day, and how near to the best.

Who wants answers wants them by day; at night next to nobody asks, but a board that is awake draws on. The optimum
knows the day and may suspend the board in any five minutes of it. The contenders have the same goals and ceiling;
one sleeps by a rule from evening to morning, and its battery is to last until it goes to sleep.
"""

import itertools
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from statistics import mean

from tidegate.boards.device import Device
from tidegate.policy.policy import (
    Between,
    Cheapest,
    DutyCycle,
    Dwell,
    Goals,
    Panel,
    Policy,
    Rule,
    Sleep,
    Wake,
    Window,
)
from tidegate.simulation.run import Run, by_policy, simulate
from tidegate.simulation.scenario import Scenario
from tidegate_bench.control.cases import reference_ladder
from tidegate_bench.control.optimum import by_plan, optimum
from tidegate_bench.figures import Cell, Goal

NODE = Device(
    "solar node",
    idle_w=1.6,
    active_w=3.2,
    battery_wh=30.0,
    heat_k_per_w=5.0,
    asleep_w=0.08,
)
"""A small board behind a power board with a clock, assumed: suspended or switched off it draws 80 mW."""
CEILING = 0.12
SLEEPS, WAKES = time(20), time(6)
_HOUR_S, _DAY_S = 3600, 86_400


@dataclass(frozen=True, slots=True)
class DutyCycled:
    """One day of a node, from six to six; `panel_w` is the panel's peak."""

    name: str
    device: Device
    scenario: Scenario
    panel_w: float

    @property
    def goals(self) -> Goals:
        """What every contender is judged by: alive until the next morning."""
        return Goals(WAKES, 2.0, panel=Panel(self.panel_w))


def scripted_nodes() -> tuple[DutyCycled, ...]:
    """A clear day, an overcast one, a short winter's day, and a battery that begins nearly empty."""
    return (
        _node("clear day", charge_percent=40.0, panel_w=4.0, clouds=[1.0]),
        _node("overcast", charge_percent=55.0, panel_w=6.0, clouds=[0.35]),
        _node("winter", charge_percent=60.0, panel_w=5.0, clouds=[0.8], sun=(8.0, 16.0), ambient_c=2.0),
        _node("nearly empty", charge_percent=15.0, panel_w=5.0, clouds=[0.9]),
    )


def random_node(seed: int, index: int) -> DutyCycled:
    """A node and a day that nobody chose."""
    rng = random.Random(f"duty-cycled/{seed}/{index}")  # noqa: S311 - cases, not secrets
    device = replace(
        NODE, idle_w=rng.uniform(1.0, 2.2), battery_wh=rng.uniform(15, 35), asleep_w=rng.uniform(0.03, 0.3)
    )
    return _node(
        f"fresh-{seed}-{index}",
        device,
        charge_percent=rng.uniform(15, 60),
        panel_w=rng.uniform(3, 7),
        clouds=[rng.choice([0.3, 0.6, 0.9, 1.0]) for _ in range(14)],
        load_hz=rng.uniform(1, 8),
    )


def play(case: DutyCycled) -> Mapping[str, Run]:
    """The contenders and the optimum on one case."""
    ladder, device, goals = reference_ladder(), case.device, case.goals
    always_on = Policy("always on", 1, CEILING, goals=goals, dwell=Dwell(5.0, 30.0))
    night = Rule("night", Sleep(Wake(WAKES)), between=Window("rules[0].between", Between(SLEEPS, WAKES)))
    reserve = night_percent(device)
    cycle = None if device.asleep_w is None else DutyCycle(device.asleep_w)
    by_day = replace(goals, battery_until=SLEEPS, reserve_percent=reserve, duty_cycle=cycle)
    sleeps = replace(always_on, name="tidegate", rules=(night,), goals=by_day)
    policies = {
        "tidegate": sleeps,
        "always on": always_on,
        "always on, cheapest": replace(always_on, default=Cheapest(), goals=Goals()),
    }
    runs = {
        name: simulate(name, by_policy(policy, ladder, device), case.scenario, device, goals)
        for name, policy in policies.items()
    }
    plan = optimum(ladder, case.scenario, device, goals)
    return {**runs, "optimum": simulate("optimum", by_plan(plan, ladder), case.scenario, device, goals)}


def night_percent(device: Device) -> float:
    """What the day has to leave the sleeping board, with a tenth more, and what every goal keeps back."""
    hours = (WAKES.hour - SLEEPS.hour) % 24
    share = hours * (device.asleep_w or device.idle_w) / (device.battery_wh or math.inf)
    return 110.0 * share + 2.0


def rows_and_goals(group: str, cases: Iterable[DutyCycled]) -> tuple[list[Mapping[str, Cell]], list[Goal]]:
    """Play the cases of a group; hold them to what the sleep is for."""
    rows: list[Mapping[str, Cell]] = []
    shares, gains, early = [], [], 0
    for case in cases:
        runs = play(case)
        best = runs["optimum"].totals.correct_within
        on = runs["always on"].totals.correct_within
        for name, run in runs.items():
            totals = run.totals
            rows.append(
                {
                    "group": group,
                    "trace": case.name,
                    "controller": name,
                    "right_answers": round(totals.correct_within),
                    "of_always_on": totals.correct_within / on if on else None,
                    "share": totals.correct_within / best if best else None,
                    "dead_early_s": totals.dead_early_s,
                }
            )
        shares.append(min(1.0, runs["tidegate"].totals.correct_within / best) if best else 1.0)
        if on:
            gains.append(runs["tidegate"].totals.correct_within / on)
        early += runs["tidegate"].totals.dead_early_s
    goals = [
        Goal(f"{group}: mean share of the optimum", 0.95, mean(shares)),
        Goal(f"{group}: answers a day over always on, mean", 1.0, mean(gains) if gains else None),
        Goal(f"{group}: seconds of an empty battery before the morning", 0, early, at_least=False),
    ]
    return rows, goals


def _node(
    name: str,
    device: Device = NODE,
    *,
    charge_percent: float,
    panel_w: float,
    clouds: list[float],
    sun: tuple[float, float] = (6.0, 19.0),
    ambient_c: float = 20.0,
    load_hz: float = 4.0,
) -> DutyCycled:
    rise, set_ = sun
    supply_w = []
    for second in range(_DAY_S):
        hour = WAKES.hour + second / _HOUR_S
        high = math.sin(math.pi * (hour - rise) / (set_ - rise)) if rise < hour < set_ else 0.0
        supply_w.append(panel_w * clouds[min(len(clouds) - 1, second // _HOUR_S)] * high)
    by_day = (SLEEPS.hour - WAKES.hour) * _HOUR_S
    asked = itertools.chain(itertools.repeat(load_hz, by_day), itertools.repeat(0.01, _DAY_S - by_day))
    scenario = Scenario(
        name=name,
        clock_s=WAKES.hour * float(_HOUR_S),
        ambient_c=[ambient_c] * _DAY_S,
        supply_w=supply_w,
        requests_hz=list(asked),
        competing=[0.0] * _DAY_S,
        lost=[frozenset()] * _DAY_S,
        charge_percent=charge_percent,
    )
    return DutyCycled(name, device, scenario, panel_w)
