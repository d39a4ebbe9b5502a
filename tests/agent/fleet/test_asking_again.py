"""Devices are asked again when answers have stopped coming, ever more seldom."""

from tidegate.fleet.asking_again import AskingAgain


def asked_at(answers: list[int]) -> list[int]:
    """The seconds at which it was due, with so many answers at each."""
    asking = AskingAgain(3.0)
    return [second for second, count in enumerate(answers) if asking.due(count, float(second))]


def test_not_while_answers_come() -> None:
    assert asked_at(list(range(60))) == []


def test_after_three_seconds_of_silence_and_then_ever_more_seldom() -> None:
    assert asked_at([0] * 240) == [3, 9, 21, 45, 93, 153, 213]


def test_an_answer_begins_the_silence_anew() -> None:
    assert asked_at([0, 0, 1, 1, 1, 1, 1]) == [5]
