"""`tidegate bench control`: how near the controller comes to the best that each day allows.

Every contender is a policy run by the same `decide`, on a device whose true parameters differ from the profile
that the controller was given; the optimum alone knows the device and the day. What counts is right answers given
in seconds in which no goal is broken. All have the same energy on offer, so that this is also right answers per
joule on offer. `share` is of the optimum; since always-cheapest loses little accuracy and so has a high share too,
`headroom` says how much of the way from it to the optimum was gone. Devices whose supply gives way under current
(sagging.py) and solar nodes that sleep at night (duty_cycled.py) have yardsticks and goals of their own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from tidegate.models.ladder import Ladder
from tidegate.policy.policy import (
    AllOf,
    Assumption,
    Cheapest,
    Dwell,
    Equals,
    Full,
    Named,
    Policy,
    Rule,
    Side,
    Threshold,
    Use,
)
from tidegate.simulation.run import Run, by_policy, simulate
from tidegate_bench.control import duty_cycled, sagging
from tidegate_bench.control.cases import (
    SCRIPTED,
    Case,
    of_file,
    random_case,
    reference_ladder,
    scripted,
)
from tidegate_bench.control.optimum import by_plan, optimum
from tidegate_bench.figures import Cell, Figures, Goal

QUICK = ("commute", "heat-wave", "load-bursts")
CEILING = 0.12
"""Wide enough for every point of the assumed ladder: the benchmark is of control, not of certificates."""


@dataclass(frozen=True, slots=True)
class Result:
    """All contenders on one case."""

    case: Case
    group: str
    optimum: Run
    bound: float
    runs: Mapping[str, Run]

    @property
    def best(self) -> float:
        """The yardstick: what the plan reached, or what its grid promised if that is more."""
        return max(self.optimum.totals.correct_within, self.bound)

    def share(self, contender: str) -> float:
        """A contender's right answers within the goals, as a share of the optimum's, 1 at most.

        More is possible where goals can't be met: there the optimum gives up answers for seconds within them.
        """
        return min(1.0, self.runs[contender].totals.correct_within / self.best) if self.best > 0 else 1.0

    def avoidable_s(self, contender: str) -> int:
        """Seconds of broken goals beyond those that the optimum has too."""
        return max(0, self.runs[contender].totals.violations_s - self.optimum.totals.violations_s)


def run(*, quick: bool, seed: int | None = None, traces: int = 0, files: Iterable[Path] = ()) -> Figures:
    """Play the scripted traces, `traces` fresh ones of a seed, and any files; hold each group to the goals."""
    ladder = reference_ladder()
    results = [compare(scripted(name), "scripted", ladder) for name in (QUICK if quick else SCRIPTED)]
    if seed is not None:
        results += [compare(random_case(seed, index), f"fresh, seed {seed}", ladder) for index in range(traces)]
    results += [compare(of_file(path), "file", ladder) for path in files]
    groups = dict.fromkeys(result.group for result in results)
    rows: list[Mapping[str, Cell]] = [row for result in results for row in _rows(result)]
    goals = [
        goal for group in groups for goal in _goals(group, [result for result in results if result.group == group])
    ]
    for group, cases in _sagging(quick=quick, seed=seed, traces=traces):
        more_rows, more_goals = sagging.rows_and_goals(group, cases)
        rows, goals = [*rows, *more_rows], [*goals, *more_goals]
    for group, nodes in _duty_cycled(quick=quick, seed=seed, traces=traces):
        more_rows, more_goals = duty_cycled.rows_and_goals(group, nodes)
        rows, goals = [*rows, *more_rows], [*goals, *more_goals]
    return Figures("control", rows, goals)


def _sagging(*, quick: bool, seed: int | None, traces: int) -> Iterable[tuple[str, Iterable[sagging.Sagging]]]:
    yield "sagging supply", sagging.scripted_cases()[: 2 if quick else None]
    if seed is not None:
        yield f"sagging supply, seed {seed}", [sagging.random_sagging(seed, index) for index in range(traces)]


def _duty_cycled(
    *, quick: bool, seed: int | None, traces: int
) -> Iterable[tuple[str, Iterable[duty_cycled.DutyCycled]]]:
    yield "duty-cycled node", duty_cycled.scripted_nodes()[: 1 if quick else None]
    if seed is not None:
        yield f"duty-cycled node, seed {seed}", [duty_cycled.random_node(seed, index) for index in range(traces)]


def compare(case: Case, group: str, ladder: Ladder) -> Result:
    """Play one case with every contender and with the optimum."""
    true, goals, scenario = case.true, case.goals, case.scenario
    plan = optimum(ladder, scenario, true, goals)
    best = simulate("optimum", by_plan(plan, ladder), scenario, true, goals)
    runs = {
        name: simulate(name, by_policy(policy, ladder, case.stated), scenario, true, goals)
        for name, policy in contenders(case).items()
    }
    return Result(case, group, best, plan.worth, runs)


def contenders(case: Case) -> dict[str, Policy]:
    """The policies that are compared."""

    def always(name: str, use: Use) -> Policy:
        return Policy(name, 1, CEILING, default=use)

    tidegate = Policy("tidegate", 1, CEILING, goals=case.goals, dwell=Dwell(5.0, 30.0))
    return {
        "tidegate": tidegate,
        "always full": always("full", Full()),
        "fixed int8": always("int8", Named("int8")),
        "always cheapest": always("cheapest", Cheapest()),
        "two thresholds": _governor(case),
    }


def _governor(case: Case) -> Policy:
    """What people write by hand: full, less when hot or when the battery is low."""
    ceiling_c = case.goals.temperature_ceiling_c or 80.0
    hot = Threshold("rules[0].when", "temperature", Side.ABOVE, ceiling_c - 3.0, ceiling_c - 8.0)
    low = Threshold("rules[1].when.all[0]", "battery", Side.BELOW, 40.0, 45.0)
    unplugged = Equals("rules[1].when.all[1]", "power_source", "battery")
    rules = (
        Rule("hot", Cheapest(), hot, urgent=True),
        Rule("low", Cheapest(), AllOf((low, unplugged))),
    )
    on_missing = {"temperature": Assumption.HOT, "battery": Assumption.LOW}
    return Policy("two thresholds", 1, CEILING, rules, dwell=Dwell(5.0, 30.0), on_missing=on_missing)


def _rows(result: Result) -> Iterable[dict[str, Cell]]:
    cheapest = result.runs["always cheapest"].totals.correct_within
    room = result.best - cheapest
    for name, each in {**result.runs, "optimum": result.optimum}.items():
        totals = each.totals
        yield {
            "group": result.group,
            "trace": result.case.name,
            "controller": name,
            "right_answers": round(totals.correct_within),
            "share": totals.correct_within / result.best if result.best > 0 else None,
            "headroom": (totals.correct_within - cheapest) / room if room > 0.001 * result.best else None,
            "broken_s": totals.violations_s,
            "per_joule_used": totals.correct_within / totals.energy_j if totals.energy_j else None,
            "answered": totals.answered / totals.asked if totals.asked else None,
            "switches": totals.switches,
        }


def _goals(group: str, results: list[Result]) -> Iterable[Goal]:
    shares = [result.share("tidegate") for result in results]
    yield Goal(f"{group}: mean share of the optimum", 0.95, mean(shares))
    yield Goal(f"{group}: least share of the optimum", 0.90, min(shares))
    broken = sum(result.avoidable_s("tidegate") for result in results)
    yield Goal(f"{group}: seconds of broken goals that the optimum avoids", 0, broken, at_least=False)
    worse = sum(
        result.share("tidegate") < result.share("two thresholds")
        or result.avoidable_s("tidegate") > result.avoidable_s("two thresholds")
        for result in results
    )
    yield Goal(f"{group}: traces worse than the two thresholds", 0, worse, at_least=False)
