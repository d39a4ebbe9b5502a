"""What a demo came to, in five plain lines."""

from dataclasses import dataclass

from tidegate.boards import find_profile
from tidegate.demo.run import Summary
from tidegate.documents import parse, read
from tidegate.models.ladder import Ladder
from tidegate.paths import profiles_directory
from tidegate.policy.schema import load_layers
from tidegate.simulation.ladder_document import load_ladder
from tidegate.simulation.run import Act, Moment, by_policy, simulate
from tidegate.simulation.scenario import Scenario
from tidegate.terminal.wrapping import wrap
from tidegate_drivers.trace import ReplayTrace

REQUESTS_HZ = 5.0
DEVICE = "field-box"
"""What a network as large as a camera's is simulated on: the demo's own takes a device no power worth naming."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Energy of a simulated day, Wh: with the demo's policy, and always at the full point."""

    policy_wh: float
    full_wh: float


def simulated_saving() -> Saved:
    """The demo's day and policy with the assumed ladder of a camera's network; takes about two seconds."""
    profiles = profiles_directory()
    policy_file, ladder_file = profiles / "policies" / "demo.yaml", profiles / "ladders" / "camera.yaml"
    profile = find_profile(DEVICE)
    ladder: Ladder = load_ladder(read(ladder_file), str(ladder_file))
    policy = load_layers(parse(read(policy_file), str(policy_file)), profile.board, []).policy
    trace = ReplayTrace.load(profiles / "traces" / "field-camera-day.csv")
    scenario = Scenario.of(trace, profile.device, REQUESTS_HZ)

    def full(_moment: Moment) -> Act:
        return Act(ladder.full)

    runs = [
        simulate(name, chooser, scenario, profile.device, policy.goals)
        for name, chooser in (("policy", by_policy(policy, ladder, profile.device)), ("full", full))
    ]
    policy_wh, full_wh = (run.totals.energy_j / 3600 for run in runs)
    return Saved(policy_wh, full_wh)


def summary_lines(summary: Summary, saved: Saved | None, width: int) -> list[str]:
    """Answers, how many were right, switches, telemetry, and what a ladder saves; broken at `width` cells."""
    answers = f"{summary.requests_served:,} given, {summary.requests_failed:,} failed"
    if summary.requests_retried:
        answers += f", {summary.requests_retried:,} asked again"
    pushes = summary.policy_pushes_applied
    facts = {
        "answers": f"{answers}, in {summary.seconds:g} s",
        "right": "not counted" if summary.accuracy is None else f"{summary.accuracy:.1%} of them",
        "switches": f"{summary.switches}, over {_counted(len(summary.points_visited), 'operating point')}; "
        f"{_counted(pushes, 'policy')} pushed to it; {_restarts(summary)}",
        "telemetry": _telemetry(summary),
    }
    if saved is not None:
        share = 1 - saved.policy_wh / saved.full_wh
        facts["saved"] = (
            f"simulated, a day like this one for a camera's network: {saved.policy_wh:.1f} Wh in place of "
            f"{saved.full_wh:.1f} Wh always at full, {share:.0%} less"
        )
    indent = max(map(len, facts)) + 2
    lines: list[str] = []
    for name, fact in facts.items():
        first, *more = wrap(fact, max(width - indent, 20))
        lines += [f"{name:<{indent}}{first}", *(" " * indent + line for line in more)]
    return lines


def _restarts(summary: Summary) -> str:
    restarts = summary.worker_restarts
    return f"{_counted(restarts, 'worker')} ended" if restarts else "no worker ended"


def _telemetry(summary: Summary) -> str:
    if summary.broker is None:
        return "no broker, so nothing was sent"
    if summary.telemetry_published is None or summary.telemetry_lost is None:
        return f"to {summary.broker}; how much arrived was not counted"
    rows = _counted(summary.telemetry_published, "row")
    return f"{rows} to {summary.broker}, {summary.telemetry_lost or 'none'} lost"


def _counted(count: int, what: str) -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"
