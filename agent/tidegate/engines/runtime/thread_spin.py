"""How the threads of one answer wait for each other: asleep after a moment, or awake at the battery's cost."""

import os

_TURNS = "30000"
"""Of libgomp's waiting loop. Its default is ten times that, which between two answers only takes power."""


def wait_briefly() -> None:
    """Let torch's threads sleep soon after their last work; to be called before torch is imported."""
    os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)
