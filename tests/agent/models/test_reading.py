"""What a label per window comes to as a text, and how far two texts are apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.models.reading import edits, read_in, spelled, with_blank
from tidegate.models.task import LabelMap

TEXTS = st.lists(st.integers(0, 3), max_size=8).map(tuple)


def test_repeats_are_one_label_and_blanks_part_them() -> None:
    labels = np.array([[1, 1, 0, 1, 2, 2], [0, 0, 0, 0, 0, 0], [-1, 3, -1, 3, 3, 0]])
    assert read_in(LabelMap(4, False, 0.5, blank=0), labels) == ((1, 1, 2), (), (3, 3))
    assert read_in(LabelMap(4, False, blank=2), labels)[0] == (1, 0, 1)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("flaw", "lawn", 2)],
)
def test_edits_between_words(one: str, other: str, apart: int) -> None:
    assert edits(tuple(map(ord, one)), tuple(map(ord, other))) == apart


@given(one=TEXTS, other=TEXTS, third=TEXTS)
def test_edits_are_a_distance(one: tuple[int, ...], other: tuple[int, ...], third: tuple[int, ...]) -> None:
    assert edits(one, other) == edits(other, one)
    assert (edits(one, other) == 0) == (one == other)
    assert edits(one, third) <= edits(one, other) + edits(other, third)


def test_letters_are_joined_and_words_are_parted() -> None:
    assert spelled(("", "a", "b", " "), (1, 3, 2), 0) == "a b"
    assert spelled(("<blank>", "a", "b"), (2, 1), 0) == "ba"
    assert spelled(("", "AH", "B"), (2, 1), 0) == "B AH"
    assert spelled(("0", "1", "2"), (2, 1), 0) == "21"
    assert spelled((*map(str, range(11)),), (10, 1), 0) == "10 1"


def test_a_dictionary_may_leave_out_the_blank_and_the_last_space() -> None:
    assert with_blank("ab", 2, 0) == ("a", "b")
    assert with_blank("ab", 3, 2) == ("a", "b", "")
    assert with_blank("ab", 4, 0) == ("", "a", "b", " ")
    assert with_blank("ab", 5, 0) is None
