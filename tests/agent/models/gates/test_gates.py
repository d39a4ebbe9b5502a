"""Gates and their scores on inputs whose values are known."""

import pytest
import torch

from tidegate.models.gates.activity import FrameChange, density, largest, mean_abs, relative_change, rms, score_of
from tidegate.models.gates.gate import GateInput
from tidegate.models.gates.margin import MarginGate, margin
from tidegate.models.ladder import Activity

X = torch.tensor([[[3.0, -4.0]], [[0.0, 2.0]]])


def test_scores_are_what_their_names_say() -> None:
    assert mean_abs(X).tolist() == [3.5, 1.0]
    assert rms(X).tolist() == pytest.approx([12.5**0.5, 2**0.5])
    assert largest(X).tolist() == [4.0, 2.0]
    assert density(X).tolist() == [1.0, 0.5]
    assert relative_change(X, torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]])).tolist() == pytest.approx([4 / 3, 0.0])


def test_change_against_the_block_before_needs_one_of_the_same_shape() -> None:
    score = score_of(Activity.BLOCK_CHANGE)
    assert score(GateInput(X)).tolist() == [float("inf")] * 2
    assert score(GateInput(X, torch.ones(2, 3))).tolist() == [float("inf")] * 2
    assert score(GateInput(X, 2 * X)).tolist() == pytest.approx([0.5, 0.5])


def test_frames_are_compared_across_calls_and_within_a_batch() -> None:
    score = FrameChange()
    assert score(GateInput(X)).tolist() == pytest.approx([float("inf"), (9 + 36) ** 0.5 / 5])
    assert score(GateInput(X[1:])).tolist() == [0.0]
    assert score(GateInput(torch.ones(1, 5))).tolist() == [float("inf")]


def test_each_block_remembers_frames_of_its_own() -> None:
    assert score_of(Activity.FRAME_CHANGE) is not score_of(Activity.FRAME_CHANGE)


def test_the_margin_is_the_gap_between_the_two_most_likely() -> None:
    logits = torch.tensor([[0.7, 0.2, 0.1]]).log()
    assert margin(logits).tolist() == pytest.approx([0.5])


def test_the_margin_gate_lets_the_unsure_on_and_gives_the_others_their_answer() -> None:
    answers = torch.tensor([[5.0, 0.0], [0.1, 0.0]])
    verdict = MarginGate(0.5, lambda x: answers, 1).decide(GateInput(X))
    assert verdict.answers is answers
    assert isinstance(verdict.open, torch.Tensor)
    assert verdict.open.tolist() == [False, True]
