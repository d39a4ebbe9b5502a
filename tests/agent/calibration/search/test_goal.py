"""Goals, targets, and what a ladder says of them; and the command line's way of saying them."""

from dataclasses import replace

import pytest

from tidegate.calibration.search.goal import (
    DEFAULT_KNOBS,
    Goal,
    GoalError,
    Knob,
    Target,
    figure_of,
    target_outcome,
)
from tidegate.cli.build_goal import wanted_of
from tidegate.models.ladder import Certificate, Figures, Ladder, OperatingPoint, Risk

FULL = Figures(10, 1.0, 0.0, 0.0, 0.0, 1.0, 8.0, 9.0, 3 * 2**20, peak_live_encoded_bytes=2**20)


def rung(name: str, latency_ms: float, weights_bytes: int, alpha: float | None) -> OperatingPoint:
    figures = replace(FULL, latency_p50_ms=latency_ms, weights_resident_bytes=weights_bytes)
    certificate = None if alpha is None else Certificate(Risk.NEWLY_WRONG, alpha, 0.05, 600, 0)
    return OperatingPoint(name, "eager", figures, certificate)


LADDER = Ladder(
    (
        rung("full", 8.0, 3 * 2**20, 0.0),
        rung("int8", 8.0, 2**20, 0.01),
        rung("skip", 4.0, 2**20 // 2, 0.03),
        rung("uncertain", 1.0, 2**10, None),
    )
)


def test_the_first_certified_point_within_the_target_is_named_with_its_loss() -> None:
    text = target_outcome(Target(Goal.MEMORY, share=0.5), LADDER)
    assert text == (
        "target 50% less weights and activations than the full point: met by int8, 2 MiB (50% less than full), "
        "certified loss 1.0%"
    )
    assert "met by skip, 4 ms" in target_outcome(Target(Goal.LATENCY, limit=5.0), LADDER)


def test_what_no_certified_point_reaches_is_infeasible_and_says_how_far_it_goes() -> None:
    text = target_outcome(Target(Goal.LATENCY, limit=2.0), LADDER)
    assert "infeasible; the nearest is skip, 4 ms (50% less than full)" in text
    assert "uncertain" not in text


def test_what_was_not_measured_is_not_called_met() -> None:
    assert "not measurable here" in target_outcome(Target(Goal.ENERGY, limit=5.0), LADDER)
    assert figure_of(Goal.ENERGY, FULL) is None
    assert figure_of(Goal.MEMORY, replace(FULL, peak_live_encoded_bytes=None)) is None


def test_a_target_names_the_goal_and_a_goal_its_knobs() -> None:
    wanted = wanted_of(None, None, ((Goal.MEMORY, "2MiB"), (Goal.LATENCY, None)), (), ())
    assert (wanted.goal, wanted.target) == (Goal.MEMORY, Target(Goal.MEMORY, limit=2.0 * 2**20))
    assert wanted.knobs == DEFAULT_KNOBS[Goal.MEMORY]
    plain = wanted_of(None, None, (), [Knob.INT4], [Knob.RESOLUTION])
    assert plain.goal is Goal.BALANCED
    assert Knob.INT4 in plain.knobs
    assert Knob.RESOLUTION not in plain.knobs


@pytest.mark.parametrize(
    ("aim", "share", "limits", "with_knobs", "without_knobs", "words"),
    [
        (None, "40%", (), (), (), "a share of what"),
        (Goal.MEMORY, "40", (), (), (), "needs its unit"),
        (Goal.MEMORY, "0 %", (), (), (), "more than 0 %"),
        (Goal.MEMORY, "40%", ((Goal.MEMORY, "1MiB"),), (), (), "one target"),
        (Goal.MEMORY, None, ((Goal.LATENCY, "5ms"),), (), (), "say --aim latency"),
        (None, None, ((Goal.LATENCY, "5 MiB"),), (), (), "this is a amount|this is an amount"),
        (None, None, (), (Knob.INT4,), (Knob.INT4,), "both name int4"),
        (Goal.MEMORY, None, (), (), (Knob.INT8,), "say --without int4 too"),
        (None, None, (), (), tuple(Knob), "no knob is left"),
    ],
)
def test_what_contradicts_itself_is_refused_with_words(
    aim: Goal | None,
    share: str | None,
    limits: tuple[tuple[Goal, str], ...],
    with_knobs: tuple[Knob, ...],
    without_knobs: tuple[Knob, ...],
    words: str,
) -> None:
    with pytest.raises(GoalError, match=words):
        wanted_of(aim, share, limits, with_knobs, without_knobs)
