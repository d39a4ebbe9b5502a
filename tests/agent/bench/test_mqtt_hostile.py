"""Spoiled messages: there are all kinds, no reader breaks on one, and what the benchmark makes of a run."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from random import Random

import pytest
from agent_states import BUSY

from tidegate.content.chunk import ContentError, unpack
from tidegate.supervisor.control.inputs import Inputs
from tidegate.supervisor.status.rendering import as_status
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.payloads.bundle_envelope import bundle_in
from tidegate.telemetry.payloads.envelope import EnvelopeError, open_envelope, policy_in
from tidegate.telemetry.payloads.input import InputMessage
from tidegate.telemetry.payloads.keys_envelope import keys_in
from tidegate.trust.dsse import Envelope
from tidegate_bench.mqtt import hostile as bench
from tidegate_bench.mqtt.hostile import Phase, figures_of, grows_mb
from tidegate_bench.mqtt.hostile_payloads import BEYOND_BYTES, Hostile, beyond, good_policy, hostile

MESSAGES = 900


@pytest.fixture(scope="module")
def messages() -> list[Hostile]:
    return list(islice(hostile("cam-1", Random(1)), MESSAGES))


def test_every_topic_that_the_agent_hears_gets_its_share(messages: list[Hostile]) -> None:
    kinds = Counter(message.topic.partition("/input/")[0] for message in messages)
    assert len(kinds) == 13
    assert min(kinds.values()) > 0.9 * MESSAGES / 13
    assert any(message.retain for message in messages)
    assert {each.topic.partition("/input/")[0] for each in beyond("cam-1")} == set(kinds)
    assert {len(each.payload) for each in beyond("cam-1")} == {BEYOND_BYTES}
    assert good_policy("cam-1", 3).topic in kinds


@pytest.mark.parametrize(("topic", "read"), [("policy", policy_in), ("keys", keys_in), ("bundle", bundle_in)])
def test_envelopes_are_read_or_refused_in_words(
    messages: list[Hostile], topic: str, read: Callable[[Envelope], object]
) -> None:
    read_at_all, refused = 0, Counter[str]()
    for message in messages:
        if message.topic.endswith(f"/{topic}"):
            try:
                read(open_envelope(message.payload))
                read_at_all += 1
            except EnvelopeError as error:
                refused[str(error)] += 1
    assert read_at_all > 0
    assert len({said[:40] for said in refused}) > 5
    assert max(map(len, refused)) < 1_000, "an error that says all of 300 KiB helps nobody"


def test_chunks_and_inputs_are_refused_in_words(messages: list[Hostile]) -> None:
    heard = Heard()
    inputs = Inputs(60.0, lambda _: None, counts=heard)
    chunks = 0
    for message in messages:
        if message.topic.endswith("/chunk"):
            try:
                unpack(message.payload)
                chunks += 1
            except ContentError:
                pass
        elif "/input/" in message.topic:
            heard.arrived()
            name = message.topic.partition("/input/")[2]
            inputs.receive(InputMessage(name, message.payload, message.retain, message.expiry_s))
    inputs.readings()
    assert chunks > 0
    assert sum(heard.counts.values()) == heard.received > 0
    assert heard.counts["input", "refused"] > heard.counts["input", "taken"] > 0


def after(received: int, heard: dict[str, int]) -> Callable[[], dict[str, float | None]]:
    status = replace(as_status(BUSY, None), received=received, heard=heard, refusals={"malformed": 6})
    calm = Phase("calm", 0, [0.5], [50.0])
    fire = Phase("paced", 12_000, [0.01, 0.02], [60.0, 60.0, 61.0, 61.0, 61.5, 61.5])
    figures = figures_of([calm, fire], status, (), accepted=True)
    return lambda: {goal.goal: goal.value for goal in figures.goals}


def test_what_arrived_and_has_no_account_is_seen() -> None:
    heard = {"push judged": 6, "push overtaken": 1, "push put off": 5, "input refused": 2, "hold taken": 1}
    assert after(10, heard)()["of them without an account"] == 0
    assert after(12, heard)()["of them without an account"] == 2


def test_lateness_and_growth_are_those_under_fire() -> None:
    goals = after(10, {})()
    assert goals["a control step late by, s"] == 0.02
    assert goals["supervisor's RSS grows by, MB"] == 0.5
    assert grows_mb([Phase("paced", 1, [], [1.0, 2.0])]) is None


def test_what_was_never_seen_is_no_zero() -> None:
    figures = figures_of([Phase("calm")], as_status(BUSY, None), (), accepted=False)
    document = json.loads(figures.to_json())
    late = next(goal for goal in document["goals"] if goal["goal"] == "a control step late by, s")
    assert (late["value"], late["met"]) == (None, False)
    assert document["rows"][0] == {"phase": "calm", "messages": 0, "late ms": None, "rss mb": None}


@pytest.mark.slow
@pytest.mark.broker
def test_the_quick_form_misses_nothing_but_the_number_of_messages() -> None:
    figures = bench.run(quick=True, progress=lambda _: None)
    missed = [goal.goal for goal in figures.goals if not goal.met and "late" not in goal.goal]
    assert missed == ["messages", "messages that the agent received"]
