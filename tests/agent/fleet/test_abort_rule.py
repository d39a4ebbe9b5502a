"""What halts a rollout, what is said not to be known, and what is said of an expression that can't be read."""

import pytest

from tidegate.fleet.rollout.abort_expression import NAMES, AbortRuleError, parse_rule
from tidegate.fleet.rollout.abort_rule import (
    DEFAULT,
    Fared,
    before_of,
    held_against_before,
    reason_to_halt,
    undecided,
    unknowns,
)
from tidegate.fleet.rollout.measured import Seen
from tidegate.telemetry.payloads.reported import ComparedPoint
from tidegate.telemetry.payloads.window import Window

ALL = (
    "refused > 1, silent > 20 %, worse > 0.5 %, latency_p95 > 50 ms, latency_p95 > before + 20 % on 10 %, "
    "energy_per_answer > 1.5 J, temperature > 75 C, failed_requests > 1 %, worker_restarts > 0"
)


def window(seq: int, **facts: object) -> Window:
    told: dict[str, object] = {"requests": 10, "samples": 10, "restarts": 0} | facts
    return Window(1.0 * seq, 60.0, "full", 5, "running", switches=0, seq=seq, **told)  # type: ignore[arg-type]  # named


def seen(*windows: Window) -> Seen:
    found = Seen()
    for each in windows:
        found = found.with_window(each)
    return found


def test_each_kind_of_limit_is_read_and_says_itself() -> None:
    rule = parse_rule(ALL)
    assert ", ".join(limit.text for limit in rule) == ALL
    assert [measure.name for measure in held_against_before(rule)] == ["latency_p95"]
    assert [limit.text for limit in parse_rule(DEFAULT)] == DEFAULT.split(", ")


def test_devices_are_counted_or_taken_as_a_share() -> None:
    rule = parse_rule("refused > 1, silent > 20 %")
    one, two = {"refused": {"a": "x"}}, {"refused": {"a": "x", "b": "y"}}
    assert reason_to_halt(rule, Fared(10, one)) is None
    assert reason_to_halt(rule, Fared(10, two)) == "2 of 10 refused (refused > 1): a: x; b: y"
    silent = {"silent": dict.fromkeys("abc", "no verdict")}
    assert reason_to_halt(rule, Fared(15, silent)) is None
    assert reason_to_halt(rule, Fared(14, silent)) is not None


def test_answers_are_judged_by_all_devices_together() -> None:
    rule = parse_rule("worse > 1 %")
    one = ComparedPoint("int8", 300, 12, 0.02)
    assert undecided(rule, Fared(9, compared=(one,)))
    assert "undecided, 12 of 300 compared answers disagreed" in unknowns(rule, Fared(9, compared=(one,)))[0]
    assert "worse than certified: 108 of 2700" in (reason_to_halt(rule, Fared(9, compared=(one,) * 9)) or "")
    kept = ComparedPoint("int8", 3000, 50, 0.02)
    assert not undecided(rule, Fared(9, compared=(kept,)))
    assert unknowns(rule, Fared(9, compared=(kept,))) == ()
    assert "drift_guard" in unknowns(rule, Fared(9))[0]
    assert not undecided(rule, Fared(9)), "nobody waits for what does not come"


BEYOND = {
    "latency_p95 > 50 ms": (window(1, p95_ms=51.0), "a: 51 ms"),
    "latency_p95 > before + 20 %": (window(1, p95_ms=49.0), "a: 49 ms, 40 ms before"),
    "energy_per_answer > 500 mJ": (window(1, energy_j=6.0), "a: 0.6 J"),
    "temperature > 75 C": (window(1, readings={"temperature": 76.5}), "a: 76.5 C"),
    "failed_requests > 1 %": (window(1, requests=90, failed=10), "a: 9.091 %"),
    "worker_restarts > 0": (window(1, restarts=1), "a: 1"),
}


@pytest.mark.parametrize("text", BEYOND)
def test_a_measure_halts_it_and_is_not_taken_for_good_where_it_is_unknown(text: str) -> None:
    rule, (beyond, said) = parse_rule(text), BEYOND[text]
    before = {"a": {"latency_p95": 40.0}}
    of_worker = seen(window(0), beyond)
    reason = reason_to_halt(rule, Fared(1, measured={"a": of_worker}, before=before))
    assert reason == f"1 of 1 devices have {text}: {said}"
    nothing = Fared(2, measured={"a": Seen(), "b": Seen()})
    assert reason_to_halt(rule, nothing) is None
    assert unknowns(rule, nothing) == (f"{text}: not known of 2 of 2 devices: a, b",)


def test_a_share_of_the_devices_may_be_beyond() -> None:
    rule = parse_rule("temperature > 75 C on 20 %")
    hot, cool = (seen(window(1, readings={"temperature": celsius})) for celsius in (80.0, 60.0))
    two = {"a": hot, "b": hot, **{f"c{number}": cool for number in range(8)}}
    assert reason_to_halt(rule, Fared(10, measured=two)) is None
    assert "3 of 10 devices have" in (reason_to_halt(rule, Fared(10, measured={**two, "c0": hot})) or "")


def test_windows_are_taken_once_and_weighted_by_what_they_answered() -> None:
    found = seen(
        window(1, p95_ms=10.0, energy_j=1.0),
        window(2, p95_ms=40.0, requests=20, samples=30, energy_j=7.0),
        window(2, p95_ms=99.0),
        window(1, p95_ms=99.0),
        window(3),
        window(4, requests=0, p95_ms=None, samples=0, energy_j=5.0),
    )
    assert before_of(found) == {
        "latency_p95": 30.0,
        "energy_per_answer": 0.2,
        "failed_requests": 0.0,
        "worker_restarts": 0.0,
    }
    restarted = seen(window(1, restarts=2), window(2, restarts=5), window(3, restarts=1))
    assert before_of(restarted)["worker_restarts"] == 4.0, "an agent that starts anew counts from zero"


WRONG = {
    "": "write `refused > 0",
    ",": "write `refused > 0",
    "refused": "write `refused > 0`",
    "refused > x": "write `refused > 0`",
    "refused >= 1": "write `refused > 1`",
    "refused < 1": "write `refused > 1`",
    "refused > 1.5": "write `refused > 2` or `refused > 1.5 %`",
    "silent > 101 %": "write `silent > 20 %`",
    "bored > 1": "NAME one of refused,",
    "rolledback > 0": "write `rolled_back > 0`",
    "worse > 1": "write `worse > 1 %`",
    "worse > 80 %": "write `worse > 1 %`",
    "worse": "write `worse > 1 %`",
    "p95 > 50 ms": "write `latency_p95 > 50 ms`",
    "latency_p95 > 50": "write `50 ms`",
    "latency_p95 > 50 C": "expected a duration, this is a temperature",
    "latency_p95 > 120 %": "write `latency_p95 > before + 20 %`",
    "latency_p95 > before + 20": "write `latency_p95 > before + 20 %`",
    "latency_p95 > before * 2": "for example `50 ms`",
    "latency_p95 > 50 ms on 10": "write `latency_p95 > 50 ms on 10 %`",
    "temperature > 75": "write `75 C`",
    "temperature > before + 10 %": "latency_p95 and energy_per_answer",
    "temprature > 75 C": "write `temperature > 75 C`",
    "energy_per_answer > 2": "which is meant: `2 J` or `2 mJ`?",
    "restarts > 0": "write `worker_restarts > 0`",
    "worker_restarts > 10 %": "write `worker_restarts > 10`",
    "refused > 0, a > 1,": "NAME one of",
    "refused > " + "9" * 400: "write `refused > 0`",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_rule_gets_the_line_to_write(text: str) -> None:
    with pytest.raises(AbortRuleError, match="--abort-if: found") as raised:
        parse_rule(text)
    assert WRONG[text] in str(raised.value)
    assert raised.value.exit_code == 64


@pytest.mark.parametrize(
    "text",
    [
        "refused > 0, refused > 3",
        "worse>1 %,silent > 20 %, worse > 2 %",
        "latency_p95 > before + 20 %, latency_p95 > before + 30 %",
    ],
)
def test_a_name_has_one_limit_of_a_kind(text: str) -> None:
    with pytest.raises(AbortRuleError, match=r"has such a limit already: '.*'; write one of the two"):
        parse_rule(text)


def test_every_name_has_an_example_that_reads() -> None:
    for name in NAMES:
        with pytest.raises(AbortRuleError) as raised:
            parse_rule(name)
        (limit,) = parse_rule(str(raised.value).rsplit("write `", 1)[1].rstrip("`"))
        assert limit.text.startswith(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "said", ["1.2.3 %", ". %", "..", "5 % %", "-5 %", "9" * 3000, "before + 1.2.3 %", "5 on . %"]
)
def test_no_number_gets_further_than_a_message_of_a_few_lines(name: str, said: str) -> None:
    with pytest.raises(AbortRuleError) as refused:
        parse_rule(f"{name} > {said}")
    assert len(str(refused.value)) < 600


def test_a_sign_of_mathematics_is_read_as_what_it_means() -> None:
    with pytest.raises(AbortRuleError, match="write `silent > 5 %`"):
        parse_rule("silent ≥ 5 %")
