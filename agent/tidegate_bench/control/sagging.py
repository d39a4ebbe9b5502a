"""Devices whose supply gives way under current: what the guard against brown-outs avoids, and what it costs.

The yardstick is a chooser that knows charge, resistance and other programs, and takes the most accurate point that
the supply holds. Three contenders run the same policy, which wants the full model: the service with its guard, the
same without one, and the cheapest point.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import mean

from tidegate.boards.device import Device
from tidegate.models.ladder import Ladder
from tidegate.policy.choice import accuracy
from tidegate.policy.policy import Cheapest, Dwell, Full, Goals, Policy
from tidegate.simulation.run import TICK_S, Act, Chooser, Moment, Run, by_policy, simulate
from tidegate.simulation.scenario import Scenario
from tidegate_bench.control.cases import reference_ladder
from tidegate_bench.figures import Cell, Goal

THREADS = {"full": 4, "mixed": 3, "int8": 2}
"""Assumed: the larger points keep more cores busy, all others one."""
NODE = Device(
    "node",
    idle_w=1.6,
    active_w=2.0,
    battery_wh=40.0,
    heat_k_per_w=4.0,
    supply_ohm=0.9,
    full_v=8.4,
    empty_v=6.0,
    brown_out_v=5.0,
)
"""A board on two lithium cells through thin cables, assumed; it fails below 5 V."""
HOURS = 6
CEILING = 0.12
_SECONDS = HOURS * 3600


@dataclass(frozen=True, slots=True)
class Sagging:
    """One device on one day."""

    name: str
    device: Device
    scenario: Scenario


def sagging_ladder() -> Ladder:
    """The assumed ladder with the energy that busy cores take, at THREADS."""
    points = tuple(
        replace(
            point,
            figures=replace(
                point.figures, energy_mj=NODE.active_w * THREADS.get(point.name, 1) * point.figures.busy_ms
            ),
        )
        for point in reference_ladder().points
    )
    return Ladder(points)


def scripted_cases() -> tuple[Sagging, ...]:
    """A battery that runs down, an old one, one that is plugged in half way, and other programs in bursts."""
    runs_down = _day("runs down", charge_percent=60.0)
    plugged = replace(runs_down, name="plugged in half way", supply_w=_plugged_half_way())
    bursts = replace(runs_down, name="bursts of other programs", competing=_bursts(random.Random("bursts")))  # noqa: S311 - a case, not a secret
    return (
        Sagging("runs down", NODE, runs_down),
        Sagging("old battery", replace(NODE, supply_ohm=1.3), replace(runs_down, name="old battery")),
        Sagging(plugged.name, NODE, plugged),
        Sagging(bursts.name, NODE, bursts),
    )


def random_sagging(seed: int, index: int) -> Sagging:
    """A battery, cables and a day that nobody chose."""
    rng = random.Random(f"sagging/{seed}/{index}")  # noqa: S311 - cases, not secrets
    device = replace(
        NODE,
        supply_ohm=rng.uniform(0.5, 1.4),
        idle_w=NODE.idle_w * rng.uniform(0.8, 1.2),
        battery_wh=rng.uniform(25, 60),
        reboot_s=rng.uniform(30, 120),
    )
    name = f"fresh-{seed}-{index}"
    day = _day(name, charge_percent=rng.uniform(40, 90), requests_hz=rng.uniform(1, 15))
    day = replace(day, competing=_bursts(rng)) if rng.random() < 0.5 else day
    day = replace(day, supply_w=_plugged_half_way()) if rng.random() < 0.5 else day
    return Sagging(name, device, day)


def play(case: Sagging, ladder: Ladder) -> Mapping[str, Run]:
    """The contenders and the yardstick on one case."""
    wants_full = Policy("full", 1, CEILING, default=Full(), dwell=Dwell(5.0, 30.0))
    cheapest = replace(wants_full, name="cheapest", default=Cheapest())
    choosers: dict[str, Chooser] = {
        "tidegate": by_policy(wants_full, ladder, case.device),
        "no guard": by_policy(wants_full, ladder, case.device, guarded=False),
        "always cheapest": by_policy(cheapest, ladder, case.device, guarded=False),
        "best that holds": best_that_holds(case, ladder),
    }
    return {
        name: simulate(name, chooser, case.scenario, case.device, Goals()) for name, chooser in choosers.items()
    }


def best_that_holds(case: Sagging, ladder: Ladder) -> Chooser:
    """Knows the device and the day: the most right answers at points that the supply holds for a while."""
    device, scenario = case.device, case.scenario
    full_j = (device.battery_wh or 0.0) * 3600.0

    def choose(moment: Moment) -> Act:
        span = slice(moment.second, moment.second + TICK_S)
        rival = max(scenario.competing[span])
        others_w = device.idle_w + device.other_w * rival
        charge = max(0.0, moment.charge_j - TICK_S * 20.0) / full_j
        external = min(scenario.supply_w[span]) > 0.5
        holding = [
            point
            for point in ladder.points
            if external or device.volts(charge, others_w + device.peak_w(point)) >= device.brown_out_v
        ]
        load_hz = max(scenario.requests_hz[span])
        if not holding:
            return Act(ladder.points[-1], 0.0)
        slow = 1.0 - rival
        return Act(
            max(holding, key=lambda p: min(load_hz, slow * 1e3 / p.figures.latency_p50_ms) * accuracy(p)),
        )

    return choose


def rows_and_goals(group: str, cases: Iterable[Sagging]) -> tuple[list[Mapping[str, Cell]], list[Goal]]:
    """Play the cases of a group; hold them to what the guard is for."""
    ladder = sagging_ladder()
    rows: list[Mapping[str, Cell]] = []
    lost, lost_without, shares = 0, 0, []
    for case in cases:
        runs = play(case, ladder)
        best = runs["best that holds"].totals.correct
        for name, run in runs.items():
            rows.append(
                {
                    "group": group,
                    "trace": case.name,
                    "controller": name,
                    "brown_outs": run.totals.brown_outs,
                    "rebooting_s": run.totals.rebooting_s,
                    "answered": run.totals.answered / run.totals.asked,
                    "share": run.totals.correct / best if best else None,
                }
            )
        lost += runs["tidegate"].totals.brown_outs
        lost_without += runs["no guard"].totals.brown_outs
        # Where the battery ends before the day, the yardstick saves nothing, and can be beaten.
        shares.append(min(1.0, runs["tidegate"].totals.correct / best) if best else 1.0)
    avoided = (lost_without - lost) / lost_without if lost_without else None
    goals = [
        Goal(f"{group}: brown-outs avoided, share of those without the guard", 0.9, avoided),
        Goal(f"{group}: mean share of the best that the supply holds", 0.95, mean(shares)),
    ]
    return rows, goals


def _day(name: str, *, charge_percent: float, requests_hz: float = 5.0) -> Scenario:
    return Scenario(
        name=name,
        clock_s=0.0,
        ambient_c=[20.0] * _SECONDS,
        supply_w=[0.0] * _SECONDS,
        requests_hz=[requests_hz] * _SECONDS,
        competing=[0.0] * _SECONDS,
        lost=[frozenset()] * _SECONDS,
        charge_percent=charge_percent,
    )


def _plugged_half_way() -> list[float]:
    half = _SECONDS // 2
    return [0.0] * half + [30.0] * (_SECONDS - half)


def _bursts(rng: random.Random) -> list[float]:
    values: list[float] = []
    while len(values) < _SECONDS:
        values += [rng.choice([0.0, 0.0, 0.0, 0.3])] * rng.randint(60, 900)
    return values[:_SECONDS]
