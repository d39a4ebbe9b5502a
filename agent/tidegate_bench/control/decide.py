"""`tidegate bench decide`: what a decision costs with fifty rules and twelve points, and a simulated day."""

import time
from dataclasses import replace
from datetime import UTC, datetime

from tidegate.models.ladder import Ladder
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import Policy
from tidegate.policy.readings import UNITS
from tidegate.policy.schema import load_policy
from tidegate.simulation.run import by_policy, simulate
from tidegate_bench.control.cases import reference_ladder, scripted
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_drivers.reading import Provenance, Reading, Snapshot

RULES = 50
POINTS = 12
DECISIONS, QUICK_DECISIONS = 20_000, 2_000
_HEAD = "tidegate: 1\nname: fifty\nversion: 1\nmax_accuracy_loss: 12 %\n"
_GOALS = 'goals: {battery_until: "18:00", latency_p95: 90 ms, temperature_ceiling: 80 C, energy_per_day: 200 Wh}\n'
_RULE = """\
  - name: rule {n}
    when:
      all:
        - any:
            - temperature: {{above: {hot} C, until: {cool} C}}
            - battery: {{below: {low} %, until: {high} %}}
        - power_source: battery
    use: {{max_accuracy_loss: 2 %}}
"""


def run(*, quick: bool) -> Figures:
    """Time decisions one by one, on readings that change, and one simulated day.

    CPU time of the thread: what other programs take of the machine meanwhile is not the decision's cost.
    """
    ladder = _twelve()
    rows: list[dict[str, Cell]] = []
    goals = []
    for name, text in (("50 rules", _HEAD + _rules()), ("50 rules and 4 goals", _HEAD + _rules() + _GOALS)):
        times_us = _timed(load_policy(text, name), ladder, QUICK_DECISIONS if quick else DECISIONS)
        p50_us, p99_us = times_us[len(times_us) // 2], times_us[len(times_us) * 99 // 100]
        rows.append({"what": f"decide, {name}, {POINTS} points", "p50": p50_us, "p99": p99_us, "unit": "us"})
        goals.append(Goal(f"decide with {name} and {POINTS} points, p99 in us", 200.0, p99_us, at_least=False))
    day_s = _day_s()
    rows.append({"what": "a day of 86,400 steps simulated", "p50": day_s, "p99": None, "unit": "s"})
    goals.append(Goal("a day at 1 s simulated, s", 1.0, day_s, at_least=False))
    return Figures("decide", rows, goals)


def _timed(policy: Policy, ladder: Ladder, count: int) -> list[float]:
    state, times_us = ControlState(ladder.full.name), []
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    for index in range(count):
        snapshot = _snapshot(index)
        began = time.thread_time_ns()
        decision = decide(snapshot, policy, ladder, state, now)
        times_us.append((time.thread_time_ns() - began) / 1e3)
        state = decision.state
    return sorted(times_us)


def _snapshot(index: int) -> Snapshot:
    at = index / 2
    values = {
        "temperature": 45.0 + index % 30,
        "battery": 90.0 - index % 60,
        "power": 4.0 + index % 3,
        "request_rate": 8.0,
        "latency": 30.0,
        "power_source": "battery" if index % 100 < 90 else "external",
    }
    readings = {
        name: Reading(value, UNITS[name], at, Provenance.ESTIMATED, "benchmark") for name, value in values.items()
    }
    return Snapshot(at, readings)


def _rules() -> str:
    rules = (_RULE.format(n=n, hot=76 + n, cool=66 + n, low=n / 2, high=n / 2 + 5) for n in range(RULES))
    return "rules:\n" + "".join(rules)


def _twelve() -> Ladder:
    points = reference_ladder().points
    more = tuple(replace(points[-1], name=f"{points[-1].name}-{index}") for index in range(POINTS - len(points)))
    return Ladder((*points, *more))


def _day_s() -> float:
    case, ladder = scripted("commute"), reference_ladder()
    policy = Policy("day", 1, 0.12, goals=case.goals)
    began = time.thread_time()
    simulate("day", by_policy(policy, ladder, case.stated), case.scenario, case.true, case.goals)
    return time.thread_time() - began
