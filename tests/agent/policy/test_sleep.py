"""Sleep: what begins it, what ends it, and what a policy may say of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import LADDER, snapshot

from tidegate.documents import DocumentError
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState, Decision
from tidegate.policy.explain import explain
from tidegate.policy.policy import Sleep, Wake
from tidegate.policy.readings import UNITS
from tidegate.policy.schema.layers import load_policy
from tidegate.policy.sleep import fall_asleep, next_at
from tidegate_drivers.reading import Provenance, Reading, Snapshot

EVENING = datetime(2026, 6, 1, 21, 59, tzinfo=UTC)

POLICY = """\
tidegate: 1
name: night
version: 1
max_accuracy_loss: 1.5 %
time_zone: UTC
rules:
  - name: night
    {when}
    use: sleep
    wake: {{{wake}}}
"""


def policy(wake: str, when: str = 'between: ["22:00", "06:00"]', **keys: str):
    more = "".join(f"\n{key}: {value}" for key, value in keys.items())
    return load_policy(POLICY.format(when=when, wake=wake) + more, "night.yaml")


class Night:
    """A policy, decided by every minute, from one to the next."""

    def __init__(self, of) -> None:
        self.policy = of
        self.now, self.at = EVENING, 0.0
        self.state = ControlState("full")

    def passes(self, minutes: int, **readings: object) -> Decision:
        """What is decided after that time, at these readings."""
        self.now += timedelta(minutes=minutes)
        self.at += 60.0 * minutes
        decision = decide(self.seen(**readings), self.policy, LADDER, self.state, self.now)
        self.state = decision.state
        return decision

    def seen(self, **readings: object) -> Snapshot:
        inputs = {name: value for name, value in readings.items() if name != "battery"}
        seen = snapshot(self.at, **{name: value for name, value in readings.items() if name == "battery"})
        published = {
            f"input/{name}": Reading(1.0, UNITS["input"], self.at + after, Provenance.ESTIMATED, "mqtt", 1e6)
            for name, after in inputs.items()
        }
        return Snapshot(self.at, {**seen.readings, **published})


def test_it_sleeps_until_the_time_and_no_longer() -> None:
    night = Night(policy('at: "05:30"'))
    assert not night.passes(0).asleep
    fallen = night.passes(1)
    assert (fallen.asleep, fallen.paused, fallen.rule) == (True, True, "night")
    assert "asleep until 05:30" in fallen.reason
    assert night.passes(7 * 60 + 29).asleep
    woken = night.passes(1)
    assert (woken.asleep, woken.paused, woken.rule) == (False, False, None)
    assert "woken, since it is 05:30" in woken.reason
    assert not night.passes(1).asleep, "the rule still holds, and has been woken from"
    assert not night.passes(60).asleep
    assert night.passes(16 * 60).asleep, "the next evening it begins anew"


def test_it_outlasts_its_rule_until_the_battery_is_charged() -> None:
    night = Night(policy("battery: {above: 40 %}", "when: {battery: {below: 10 %, until: 12 %}}"))
    assert night.passes(1, battery=9).asleep
    kept = night.passes(60, battery=30)
    assert kept.asleep
    assert kept.reason == "asleep until the battery is above 40 %"
    assert night.passes(60, battery=None).asleep, "what can't be read is no charge"
    assert night.passes(1, battery=40).asleep
    woken = night.passes(1, battery=41)
    assert not woken.asleep
    assert "the battery is at 41 %" in woken.reason


def test_a_battery_that_counts_as_full_when_missing_wakes() -> None:
    low = "when: {battery: {below: 10 %, until: 12 %}}"
    night = Night(policy("battery: {above: 40 %}", low, on_missing="{battery: assume_high}"))
    assert night.passes(1, battery=9).asleep
    assert not night.passes(1, battery=None).asleep


def test_an_input_wakes_only_with_a_value_that_came_since() -> None:
    night = Night(policy("input: motion"))
    assert night.passes(1, motion=-30.0).asleep
    assert night.passes(1, motion=-90.0).asleep
    assert night.passes(1, other=0.0).asleep
    assert not night.passes(1, motion=0.0).asleep


def test_a_request_wakes_where_the_policy_says_so() -> None:
    for wake, wakes in (("request: true", True), ('at: "06:00"', False)):
        night = Night(policy(wake))
        assert night.passes(1).asleep
        assert night.state.sleeping is not None
        night.state = replace(night.state, sleeping=replace(night.state.sleeping, asked=True))
        assert night.passes(1).asleep is not wakes


def test_the_point_stays_where_it_was() -> None:
    night = Night(policy('at: "06:00"'))
    assert {night.passes(5).point for _ in range(60)} == {"full"}


def test_what_is_explained_names_the_rule_and_what_wakes() -> None:
    night = Night(policy('at: "06:00", battery: {above: 90 %}, request: true'))
    night.passes(1)
    said = explain(night.seen(), night.policy, LADDER, night.state, night.now)
    assert "asleep until 06:00 or the battery is above 90 % or a request comes" in said.sentences[0]


@given(st.times(), st.timedeltas(timedelta(0), timedelta(days=400)))
def test_the_time_to_wake_is_within_a_day_and_as_the_clock_shows_it(at, later) -> None:
    at, moment = at.replace(second=0, microsecond=0, fold=0), EVENING + later
    wake_at = next_at(Wake(at), moment)
    assert wake_at is not None
    assert timedelta(0) < wake_at - moment <= timedelta(days=1)
    assert (wake_at.hour, wake_at.minute) == (at.hour, at.minute)


def test_only_a_sleep_that_the_time_ends_may_take_the_system_with_it() -> None:
    at = EVENING.time().replace(second=0)
    alone = [
        fall_asleep("night", Sleep(wake), 0.0, EVENING).alone
        for wake in (
            Wake(at),
            Wake(at, battery_above=40.0),
            Wake(at, request=True),
            Wake(at, input="motion"),
            Wake(battery_above=40.0),
        )
    ]
    assert alone == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("use", "path", "hint"),
    [
        ("use: sleep", "rules[0].use", "write `wake: {at:"),
        ("use: sleep\n    wake: {}", "rules[0].wake", "write `wake: {at:"),
        ("use: sleep\n    wake: {request: false}", "rules[0].wake", "write `wake: {at:"),
        ("use: cheapest\n    wake: {request: true}", "rules[0].wake", "write `use: sleep`"),
        ("use: sleep\n    wake: {at: 6 o'clock}", "rules[0].wake.at", "06:30"),
        ("use: sleep\n    wake: {battery: {above: 40}}", "rules[0].wake.battery.above", "40 %"),
        ("use: sleep\n    wake: {battery: {above: 100 %}}", "rules[0].wake.battery.above", ""),
        ("use: sleep\n    wake: {battery: 40 %}", "rules[0].wake.battery", ""),
        ("use: sleep\n    wake: {input: a/b}", "rules[0].wake.input", ""),
        ("use: sleep\n    wake: {dawn: true}", "rules[0].wake.dawn", ""),
    ],
)
def test_errors_say_where_and_what_to_write(use: str, path: str, hint: str) -> None:
    text = POLICY.partition("    use:")[0].format(when='between: ["22:00", "06:00"]') + f"    {use}\n"
    with pytest.raises(DocumentError) as refused:
        load_policy(text, "night.yaml")
    assert any(problem.path == path and hint in problem.hint for problem in refused.value.problems), refused.value


def test_the_default_can_not_sleep() -> None:
    text = "tidegate: 1\nname: a\nversion: 1\nmax_accuracy_loss: 1 %\ndefault: {use: sleep}\n"
    with pytest.raises(DocumentError, match=r"default\.use: only a rule can sleep"):
        load_policy(text, "a.yaml")
