"""What typical mistakes in a policy are answered with, word for word; and that nothing else ever comes out."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.documents import DocumentError, parse
from tidegate.policy.policy import Policy
from tidegate.policy.schema import load_policy

READY = sorted((Path(__file__).parents[3] / "profiles" / "policies").glob("*.yaml"))
TEXTS = [path.read_text() for path in READY]

GOOD = """\
tidegate: 1
name: cam
version: 7
max_accuracy_loss: 1.5 %
rules:
  - name: hot
    when: {temperature: {above: 80 C, until: 72 C}}
    use: cheapest
    urgent: true
  - name: low
    when: {all: [{battery: {below: 20 %, until: 25 %}}, {power_source: battery}]}
    use: {max_power: 3 W}
dwell: {down: 5 s, up: 60 s}
"""

MISTAKES = {
    "no unit": (
        "above: 80 C",
        "above: 80",
        """\
cam.yaml:7:33: rules[0].when.temperature.above: a temperature needs its unit
   7 |     when: {temperature: {above: 80, until: 72 C}}
     |                                 ^^
     found: 80
     allowed: a number followed by C or °C
     hint: write `80 C`""",
    ),
    "wrong dimension": (
        "below: 20 %",
        "below: 20 W",
        """\
cam.yaml:11:36: rules[1].when.all[0].battery.below: expected a percentage, this is a power
  11 |     when: {all: [{battery: {below: 20 W, until: 25 %}}, {power_source...
     |                                    ^^^^
     found: 20 W
     allowed: a number followed by %
     hint: for example `20 %`""",
    ),
    "unit in the wrong case": (
        "max_power: 3 W",
        "max_power: 3 w",
        """\
cam.yaml:12:22: rules[1].use.max_power: unknown unit for a power
  12 |     use: {max_power: 3 w}
     |                      ^^^
     found: 3 w
     allowed: a number followed by W or mW or kW
     nearest: W
     hint: for example `3 W`""",
    ),
    "out of range": (
        "below: 20 %",
        "below: 120 %",
        """\
cam.yaml:11:36: rules[1].when.all[0].battery.below: a percentage out of range
  11 |     when: {all: [{battery: {below: 120 %, until: 25 %}}, {power_sourc...
     |                                    ^^^^^
     found: 120 %
     allowed: 0 % to 100 %""",
    ),
    "leave value on the wrong side": (
        "until: 72 C",
        "until: 88 C",
        """\
cam.yaml:7:46: rules[0].when.temperature.until: the leave value is on the wrong side
   7 |     when: {temperature: {above: 80 C, until: 88 C}}
     |                                              ^^^^
     found: 88 C
     allowed: a value at or below `above`
     hint: `above` begins the condition, `until` ends it""",
    ),
    "no leave value": (
        ", until: 25 %",
        "",
        """\
cam.yaml:11:19: rules[1].when.all[0].battery.until: missing key `until`
  11 |     when: {all: [{battery: {below: 20 %}}, {power_source: battery}]}
     |                   ^^^^^^^
     hint: `until` is the leave value: once true, the condition holds until it
           is reached""",
    ),
    "misspelt reading": (
        "{temperature:",
        "{temprature:",
        """\
cam.yaml:7:12: rules[0].when.temprature: unknown key
   7 |     when: {temprature: {above: 80 C, until: 72 C}}
     |            ^^^^^^^^^^
     found: temprature
     allowed: all, any, battery, cpu, input, latency, memory_available,
              memory_pressure, not, power, power_source, request_rate,
              temperature, thermal_pressure, throttled, time, under_voltage
     nearest: temperature""",
    ),
    "misspelt bound": (
        "max_power:",
        "max_pwer:",
        """\
cam.yaml:12:11: rules[1].use.max_pwer: unknown key
  12 |     use: {max_pwer: 3 W}
     |           ^^^^^^^^
     found: max_pwer
     allowed: max_accuracy_loss, max_latency, max_memory, max_power
     nearest: max_power""",
    ),
    "unknown word": (
        "power_source: battery",
        "power_source: batery",
        """\
cam.yaml:11:72: rules[1].when.all[1].power_source: not one of the allowed words
  11 | ... {below: 20 %, until: 25 %}}, {power_source: batery}]}
     |                                                 ^^^^^^
     found: batery
     allowed: battery, external
     nearest: battery""",
    ),
    "yes for true": (
        "urgent: true",
        "urgent: yes",
        """\
cam.yaml:9:13: rules[0].urgent: expected true or false
   9 |     urgent: yes
     |             ^^^
     found: yes
     allowed: true, false""",
    ),
    "version in quotes": (
        "version: 7",
        'version: "7"',
        """\
cam.yaml:3:10: version: expected a whole number
   3 | version: "7"
     |          ^^^
     found: "7"
     allowed: a whole number, higher with every change""",
    ),
    "another language version": (
        "tidegate: 1",
        "tidegate: 2",
        """\
cam.yaml:1:11: tidegate: not one of the allowed words
   1 | tidegate: 2
     |           ^
     found: 2
     allowed: 1
     hint: the version of the policy language: `tidegate: 1`""",
    ),
    "over the ceiling": (
        "{max_power: 3 W}",
        "{max_accuracy_loss: 2 %}",
        """\
cam.yaml:12:30: rules[1].use.max_accuracy_loss: above the ceiling
  12 |     use: {max_accuracy_loss: 2 %}
     |                              ^^^
     found: 2 %
     allowed: at most the policy's own max_accuracy_loss, 1.5 %""",
    ),
    "a goal without a unit": (
        "dwell:",
        "goals: {latency_p95: 50}\ndwell:",
        """\
cam.yaml:13:22: goals.latency_p95: a duration needs its unit
  13 | goals: {latency_p95: 50}
     |                      ^^
     found: 50
     allowed: a number followed by ms or s or min or h or d
     hint: write `50 ms`""",
    ),
    "a schedule that is not there": (
        "    urgent: true",
        "    between: nigth",
        """\
cam.yaml:9:14: rules[0].between: no schedule of this name
   9 |     between: nigth
     |              ^^^^^
     found: nigth
     allowed: two times such as ["22:00", "06:00"]
     hint: add it to `schedule`""",
    ),
    "a time zone that is not there": (
        "dwell:",
        "time_zone: Europe/Berln\ndwell:",
        """\
cam.yaml:13:12: time_zone: no such time zone on this system
  13 | time_zone: Europe/Berln
     |            ^^^^^^^^^^^^
     found: Europe/Berln
     allowed: a name such as Europe/Berlin
     nearest: Europe/Berlin
     hint: leave the key out for the device's own time zone""",
    ),
    "a limit of a board that is not named": (
        "above: 80 C",
        "above: board.throttle - 5 C",
        """\
cam.yaml:7:33: rules[0].when.temperature.above: a limit of the board, and no board profile is given
   7 |     when: {temperature: {above: board.throttle - 5 C, until: 72 C}}
     |                                 ^^^^^^^^^^^^^^^^^^^^
     found: board.throttle - 5 C
     hint: name the board: `board:` in agent.yaml, `--board` on the command
           line""",
    ),
    "a rate of 0": (
        "    urgent: true",
        "    limit: {rate: 0 Hz}",
        """\
cam.yaml:9:19: rules[0].limit.rate: a rate of 0
   9 |     limit: {rate: 0 Hz}
     |                   ^^^^
     found: 0 Hz
     allowed: more than 0 Hz
     hint: write `use: pause`""",
    ),
    "two rules of one name": (
        "name: low",
        "name: hot",
        """\
cam.yaml:10:11: rules[1].name: rules[0] has this name already
  10 |   - name: hot
     |           ^^^
     found: hot
     hint: each needs its own name: decisions refer to it""",
    ),
    "two conditions in one": (
        "{temperature: {above: 80 C, until: 72 C}}",
        "{temperature: {above: 80 C, until: 72 C}, power_source: battery}",
        """\
cam.yaml:7:11: rules[0].when: a condition has one key, found 2
   7 | ...{temperature: {above: 80 C, until: 72 C}, power_source: battery}
     |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     found: a mapping
     hint: put several conditions in a list behind `any` or `all`""",
    ),
    "use of the wrong kind": (
        "use: cheapest",
        "use: 3",
        """\
cam.yaml:8:10: rules[0].use: expected a mapping
   8 |     use: 3
     |          ^
     found: 3
     allowed: `full`, `cheapest`, `pause`, the name of a point, or bounds such
              as {max_power: 3 W}""",
    ),
}


def refused(text):
    with pytest.raises(DocumentError) as caught:
        load_policy(text, "cam.yaml")
    return caught.value


@pytest.mark.parametrize("mistake", MISTAKES)
def test_typical_mistakes(mistake):
    right, wrong, message = MISTAKES[mistake]
    assert GOOD.count(right) == 1
    assert str(refused(GOOD.replace(right, wrong))) == message


def test_several_mistakes_come_in_one_go_in_the_order_of_the_text():
    text = GOOD.replace("80 C", "80").replace("3 W", "3 C").replace("up:", "upp:")
    assert [problem.path for problem in refused(text).problems] == [
        "rules[0].when.temperature.above",
        "rules[1].use.max_power",
        "dwell.upp",
    ]


def test_a_hundred_mistakes_are_counted_and_not_all_printed():
    error = refused(GOOD + "".join(f"x{index}: 1\n" for index in range(100)))
    assert len(error.problems) == 100
    assert str(error).endswith("and 80 more problems")


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_policies_are_valid_and_named_after_their_file(path):
    assert load_policy(path.read_text(), path.name).name == path.stem


_PIECES = [
    "80 C",
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "\n",
    "  ",
    "'",
    '"',
    "~",
    "&a",
    "*a",
    "!!x ",
    "yes",
    "1e999",
    "%",
]
_PIECES += [
    "rules",
    "when",
    "any",
    "not",
    "until",
    "for",
    "goals",
    "\t",
    "\x00",
    "\ud800",
    "\\UFFFFFFFF",
    "#",
    "|",
    "? ",
]


@st.composite
def mutated(draw):
    """A ready policy with a few pieces inserted, removed, doubled or swapped."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        with_ = draw(st.sampled_from(_PIECES) | st.text(max_size=5))
        text = draw(
            st.sampled_from(
                [text[:start] + with_ + text[end:], text[:start] + text[end:], text[:end] + text[start:]],
            )
        )
    return text


_KEYS = (
    "tidegate name version max_accuracy_loss default rules dwell on_missing no_fit goals schedule when use urgent"
)
_KEYS += " time_zone drift_guard limit rate concurrency days time input zone battery_until reserve energy_per_day"
_KEYS += " between any all not battery temperature power_source thermal_pressure above below until for at_least"
_WORDS = [
    "80 C",
    "20 %",
    "3 W",
    "5 s",
    "full",
    "cheapest",
    "battery",
    "serious",
    "22:00",
    "assume_low",
    "ignore",
    "pause",
    "board.throttle - 5 C",
    "Europe/Berlin",
    "20 Wh",
    "",
]
_scalars = st.sampled_from(_WORDS) | st.booleans() | st.integers(-1, 8) | st.floats()
_trees = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS.split()), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def grafted(draw):
    """A well-formed document of known keys in which any tree may stand in any place."""
    document = parse(GOOD, "cam.yaml").value
    spot = document
    while True:
        key = draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot))))
        if not isinstance(spot[key], dict | list) or not spot[key] or draw(st.booleans()):
            break
        spot = spot[key]
    spot[key] = draw(_trees)
    return json.dumps(document, indent=draw(st.none() | st.just(1)))


def error_in(text):
    try:
        assert isinstance(load_policy(text, "mutated.yaml"), Policy)
    except DocumentError as error:
        return error
    return None


def a_policy_or_a_located_error(text):
    error = error_in(text)
    if error is not None:
        lines = text.count("\n") + text.count("\r") + sum(text.count(c) for c in "\x85\u2028\u2029") + 1
        assert error.problems
        assert all(1 <= problem.mark.line <= lines and problem.mark.column >= 1 for problem in error.problems)
        assert all(problem.message for problem in error.problems)
        str(error).encode()


@settings(max_examples=60, deadline=None)
@given(mutated() | grafted())
def test_mutated_policies_never_give_a_traceback(text):
    a_policy_or_a_located_error(text)


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text("{}[]:-,'\"\n &*!|>%@`#ab1?~", max_size=60))
def test_random_texts_never_give_a_traceback(text):
    a_policy_or_a_located_error(text)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated() | grafted())
def test_ten_thousand_mutated_policies_never_give_a_traceback(text):
    a_policy_or_a_located_error(text)
