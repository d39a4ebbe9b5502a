"""Mistakes that people make in YAML, and what they are answered: `mistakes.txt` has them word for word."""

from pathlib import Path

import pytest

from tidegate.documents import DocumentError
from tidegate.policy.schema import load_policy

CASES = dict(
    case.split("\n", 1) for case in (Path(__file__).parent / "mistakes.txt").read_text().split("=== ")[1:]
)


def test_there_are_at_least_fifty() -> None:
    assert len(CASES) >= 50


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_gets_its_answer(mistake: str) -> None:
    text, said = CASES[mistake].split("--- said\n")
    with pytest.raises(DocumentError) as caught:
        load_policy(text, "cam.yaml")
    assert f"{caught.value}\n" == said
