"""What `policy check` foresees of rules on a ladder and a board, held against the simulated device."""

import re
from dataclasses import replace

import pytest
from simulation_cases import LADDER, scenario

from tidegate.boards import find_profile
from tidegate.documents import parse
from tidegate.paths import profiles_directory
from tidegate.policy.policy import Goals
from tidegate.policy.schema import load_layers
from tidegate.simulation.foresight import foresee, unseen
from tidegate.simulation.run import by_policy, simulate

HEAD = "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 12 %\n"
BOX = find_profile("field-box").device
BARE = replace(BOX, battery_wh=None)


def foreseen(text, device=BOX):
    document = parse(HEAD + text, "p.yaml")
    return foresee(document, load_layers(document).policy, LADDER, device)


def rules(*lines):
    return "rules:\n" + "".join(f"  - {{name: r{index}, {line}}}\n" for index, line in enumerate(lines))


UNDONE = {
    "latency": ("when: {latency: {above: 65 ms, until: 40 ms}}, use: cheapest", "72 ms", "28 ms"),
    "latency once slowed": ("when: {latency: {above: 90 ms, until: 60 ms}}, use: int8", "1.25 times", "35 ms"),
    "behind a not": ("when: {not: {latency: {below: 65 ms, until: 65 ms}}}, use: cheapest", "72 ms", "49 ms"),
    "in a list": (
        "when: {all: [{latency: {above: 65 ms, until: 40 ms}}, {power_source: battery}]}, use: cheapest",
        "72 ms",
        "28 ms",
    ),
    "upwards": ("when: {latency: {below: 30 ms, until: 50 ms}}, use: full", "14 ms", "72 ms"),
    "power": ("when: {power: {above: 4 W, until: 3 W}}, use: cheapest", "requests a second", "draws 2."),
    "power, urgent": (
        "when: {power: {above: 4 W, until: 3 W}}, use: cheapest, urgent: true",
        "full draws",
        "itself",
    ),
    "heat": ("when: {temperature: {above: 45 C, until: 40 C}}, use: cheapest", "full comes to", "int8 comes to"),
    "a pause": ("when: {power: {above: 4 W, until: 2 W}}, use: pause", "full draws", "1.6 W"),
    "memory": ("when: {memory_available: {below: 100 MiB, until: 120 MiB}}, use: cheapest", "46 MiB", "20 MiB"),
}


@pytest.mark.parametrize("case", UNDONE)
def test_a_rule_that_flaps_is_warned_of_with_the_numbers(case):
    line, *numbers = UNDONE[case]
    # The rule that goes up does so from the cheapest.
    default = "default: {use: cheapest}\n" if case == "upwards" else ""
    (problem,) = foreseen(default + rules(line))
    assert problem.message == "warning: rule 'r0' flaps"
    assert all(number in problem.found for number in numbers), problem.found
    assert problem.hint
    assert problem.path.startswith("rules[0].when")
    assert (problem.mark.line, problem.mark.column) > (5, 1)


def test_two_rules_that_chase_each_other_are_both_warned_of():
    chase = rules(
        "when: {latency: {above: 65 ms, until: 40 ms}}, use: cheapest",
        "when: {latency: {below: 40 ms, until: 60 ms}}, use: full",
    )
    assert [each.message for each in foreseen("default: {use: int8}\n" + chase)] == [
        "warning: rule 'r0' flaps",
        "warning: rule 'r1' flaps",
    ]


NEVER = {
    "ends, latency": ("when: {latency: {above: 65 ms, until: 10 ms}}, use: cheapest", "never ends", "14 ms"),
    "ends, power": ("when: {power: {above: 4 W, until: 1.2 W}}, use: cheapest", "never ends", "1.6 W"),
    "ends, heat": ("when: {temperature: {above: 45 C, until: 30 C}}, use: cheapest", "never ends", "32.4 C"),
    "holds, power": (
        "when: {power: {above: 100 W, until: 90 W}}, use: cheapest",
        "can never hold",
        "7.8 W",
    ),
    "holds, latency": ("when: {latency: {below: 5 ms, until: 6 ms}}, use: full", "can never hold", "14 ms"),
    "holds, far too slow": ("when: {latency: {above: 1 h, until: 1 s}}, use: full", "can never hold", "72 ms"),
    "holds, percent": ("when: {cpu: {above: 100 %, until: 90 %}}, use: cheapest", "can never hold", "above 100 %"),
    "holds, nothing": (
        "when: {request_rate: {below: 0 Hz, until: 1 Hz}}, use: full",
        "can never hold",
        "below 0",
    ),
    "holds, heat": ("when: {temperature: {above: 190 C, until: 72 C}}, use: full", "can never hold", "60 C"),
}


@pytest.mark.parametrize("case", NEVER)
def test_what_no_point_or_board_can_reach_is_warned_of(case):
    line, what, number = NEVER[case]
    (problem,) = foreseen(rules(line))
    assert what in problem.message
    assert number in problem.found


@pytest.mark.parametrize(
    ("on_missing", "what"),
    [("ignore", "can never hold"), ("assume_low", "never ends once it holds"), ("assume_high", "")],
)
def test_a_battery_rule_on_a_board_without_one(on_missing, what):
    text = f"on_missing: {{battery: {on_missing}}}\n" + rules(
        "when: {battery: {below: 20 %, until: 25 %}}, use: cheapest"
    )
    problems = foreseen(text, BARE)
    assert [what in problem.message for problem in problems] == ([True] if what else [])
    assert foreseen(text, BOX) == []


SOUND = {
    "far enough apart": rules("when: {latency: {above: 90 ms, until: 15 ms}}, use: cheapest"),
    "a goal keeps it away": "goals: {latency_p95: 60 ms}\n"
    + rules("when: {latency: {above: 65 ms, until: 40 ms}}, use: cheapest"),
    "default is the point already": "default: {use: cheapest}\n"
    + rules("when: {latency: {above: 65 ms, until: 40 ms}}, use: cheapest"),
    "an overheating in the sun": rules(
        "when: {any: [{temperature: {above: 80 C, until: 72 C}}, {thermal_pressure: {at_least: serious}}]}, "
        "use: cheapest, urgent: true"
    ),
    "memory with room": rules("when: {memory_available: {below: 128 MiB, until: 256 MiB}}, use: cheapest"),
    "what nobody can foresee": rules(
        "when: {any: [{cpu: {above: 85 %, until: 60 %}}, {request_rate: {above: 20 Hz, until: 15 Hz}}]}, use: int8"
    ),
}


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_rule_is_not_warned_of(case):
    assert foreseen(SOUND[case]) == []


@pytest.mark.parametrize("path", sorted((profiles_directory() / "policies").glob("*.yaml")), ids=lambda p: p.stem)
def test_ready_policies_undo_nothing_on_the_board_they_are_for(path):
    board = find_profile("macbook" if path.stem == "laptop" else "field-box")
    document = parse(path.read_text(), path.name)
    assert foresee(document, load_layers(document, board.board).policy, LADDER, board.device) == []


@pytest.mark.parametrize("case", ["latency", "latency once slowed", "in a list", "power", "heat", "memory"])
def test_the_line_to_write_instead_is_not_warned_of(case):
    line, *_ = UNDONE[case]
    (problem,) = foreseen(rules(line))
    (wanted, *_) = re.findall("`([^`]*)`", problem.hint)
    if wanted.startswith("goals"):
        assert foreseen(wanted + "\n" + rules(line)) == []
    else:
        kind = wanted.partition(":")[0]
        mended = re.sub(rf"{kind}: {{[^}}]*}}", wanted, line)
        assert mended != line
        assert foreseen(rules(mended)) == []


def test_the_simulated_device_agrees():
    """A rule that is warned of does come and go there, and the line to write instead does not."""
    line, *_ = UNDONE["power"]
    (problem,) = foreseen(rules(line))
    (wanted,) = re.findall("`([^`]*)`", problem.hint)
    switches = []
    for each in (line, re.sub("power: {[^}]*}", wanted, line)):
        document = parse(HEAD + rules(each), "p.yaml")
        policy = load_layers(document).policy
        day = scenario(supply_w=40.0, requests_hz=15.0)
        run = simulate("p", by_policy(policy, LADDER, BOX), day, BOX, Goals())
        switches.append(run.totals.switches)
    assert switches[0] > 3 * switches[1] > 0


def test_without_a_board_it_says_what_it_has_not_looked_at():
    text = rules(
        "when: {temperature: {above: 45 C, until: 40 C}}, use: cheapest",
        "when: {power: {above: 4 W, until: 3 W}}, use: cheapest",
    )
    assert foreseen(text, None) == []
    policy = load_layers(parse(HEAD + text, "p.yaml")).policy
    assert unseen(policy, None) == ("temperature", "power")
    assert unseen(policy, BOX) == ()
