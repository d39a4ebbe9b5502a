"""Several mistakes at once, and that whatever the text nothing but a DocumentError comes out."""

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


def refused(text):
    with pytest.raises(DocumentError) as caught:
        load_policy(text, "cam.yaml")
    return caught.value


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
