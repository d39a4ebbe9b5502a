"""Which exit code is told to whoever starts the agent again: launchd can't tell one failure from another."""

from collections.abc import Mapping

FINAL_VARIABLE = "TIDEGATE_FINAL_EXIT_CODES"
"""Codes, with spaces between them, after which a start would end the same way: 0 is told in their place."""


def told(code: int, environment: Mapping[str, str]) -> int:
    """The code, or 0 where the environment counts it among the final ones."""
    return 0 if str(code) in environment.get(FINAL_VARIABLE, "").split() else code
