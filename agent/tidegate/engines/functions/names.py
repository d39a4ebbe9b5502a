"""What functions are called, and what goes in and comes out of them."""

import re

GIVEN = "x"
CARRIED, ANSWER, SCORE, SEEN, BEFORE = "y", "answer", "score", "seen", "before"
"""Outputs: the value that goes on, an answer, a gate's score, and what a gate that looks back compares."""


def name_of(point: str, *parts: object) -> str:
    """A function's name: letters, digits and underscores, the first a letter."""
    return "_".join(["p", *(re.sub(r"\W", "_", str(part)) for part in (point, *parts))])
