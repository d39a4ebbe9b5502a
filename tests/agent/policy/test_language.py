"""What the language can say, played on snapshots: schedules, zones, inputs, throttling, pause, limits."""

from datetime import UTC, datetime

import pytest
from policy_cases import LADDER, NOON, snapshot

from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import Limit
from tidegate.policy.schema import load_policy
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit

HEAD = "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 1.5 %\n"
FULL = ControlState("full")


def decided(text, snap, state=FULL, now=NOON):
    return decide(snap, load_policy(HEAD + text, "p.yaml"), LADDER, state, now)


def fresh(name, value, unit):
    return Snapshot(0.0, {name: Reading(value, unit, 0.0, Provenance.MEASURED, "test")})


def rule(when, more=""):
    return f"rules: [{{name: r, when: {when}, use: cheapest{more}}}]\n"


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-06-05T21:30", True),  # a Friday in Berlin, two hours ahead of UTC
        ("2026-06-05T19:30", False),
        ("2026-06-06T03:00", True),  # still Friday's night
        ("2026-06-06T21:30", False),  # Saturday's night does not begin
        ("2026-06-06T05:00", False),
    ],
)
def test_a_schedule_holds_on_its_days_in_its_zone(moment, holds):
    text = 'time_zone: Europe/Berlin\nschedule: [{name: night, between: ["23:00", "06:00"], days: [fri]}]\n'
    text += "rules: [{name: r, between: night, use: cheapest}]\n"
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    decision = decided(text, Snapshot(0.0), now=now)
    assert (decision.rule == "r") is holds
    if holds:
        assert decision.reason == "within 'night'"


def test_days_alone_mean_the_whole_day():
    text = "schedule: [{name: weekend, days: [sat, sun]}]\n" + rule("{not: {time: weekend}}")
    assert decided(text, Snapshot(0.0), now=datetime(2026, 6, 6, 0, 0, tzinfo=UTC)).rule is None
    assert decided(text, Snapshot(0.0), now=datetime(2026, 6, 8, 0, 0, tzinfo=UTC)).rule == "r"


def test_a_zone_is_read_by_itself_and_missing_like_any_temperature():
    text = rule("{temperature: {zone: gpu-thermal, above: 70 C, until: 60 C}}")
    hot = decided(text, fresh("temperature/gpu-thermal", 75.0, Unit.CELSIUS))
    assert hot.reason == "temperature (gpu-thermal) 75 C is above 70 C"
    lost = decided(text + "on_missing: {temperature: assume_hot}\n", snapshot(temperature=20))
    assert lost.reason == "temperature (gpu-thermal) is unavailable, assumed hot"


def test_an_input_from_outside_and_a_throttled_chip():
    people = rule("{input: {name: people, above: 3, until: 1}}")
    assert decided(people, fresh("input/people", 4.0, Unit.COUNT)).reason == "input (people) 4 is above 3"
    slow = rule('{throttled: "yes"}')
    assert decided(slow, fresh("throttled", "yes", Unit.NAME)).reason == "throttled is yes"
    assert decided(slow, fresh("throttled", "no", Unit.NAME)).rule is None


def test_load_and_latency_are_readings_like_others():
    text = rule("{all: [{request_rate: {above: 20 Hz, until: 15 Hz}}, {latency: {above: 50 ms, until: 40 ms}}]}")
    assert decided(text, snapshot(request_rate=30, latency=80)).rule == "r"
    assert decided(text, snapshot(request_rate=30, latency=30)).rule is None


def test_pause_and_limits_are_part_of_the_decision():
    text = "rules: [{name: r, when: {battery: {below: 5 %, until: 10 %}}, use: pause}]\n"
    paused = decided(text, snapshot(battery=3))
    assert paused.paused
    assert paused.reason == "battery 3 % is below 5 %; answers are paused"
    limited = decided(
        rule("{cpu: {above: 90 %, until: 60 %}}", ", limit: {rate: 2 Hz, concurrency: 1}"), snapshot(cpu=95)
    )
    assert limited.limit == Limit(2.0, 1)
    assert not limited.paused


def test_slow_down_serves_within_the_ceiling_at_a_low_rate():
    text = "no_fit: slow_down\ndefault: {use: {max_power: 1 mW}}\n"
    decision = decided(text, Snapshot(0.0))
    assert not decision.fits
    assert (decision.wanted, decision.limit.rate_hz) == ("d", 1.0)


def test_a_flapping_sensor_does_not_send_an_urgent_rule_up_and_down():
    text = rule("{temperature: {above: 80 C, until: 72 C}}", ", urgent: true")
    text += "on_missing: {temperature: assume_hot}\ndwell: {down: 0 s, up: 2 s}\n"
    policy, state, switches = load_policy(HEAD + text, "p"), FULL, 0
    for second in range(600):
        snap = snapshot(float(second), temperature=None if second % 20 < 4 else 50)
        decision = decide(snap, policy, LADDER, state, NOON)
        switches += decision.changes(state)
        state = decision.state
    assert switches == 1
