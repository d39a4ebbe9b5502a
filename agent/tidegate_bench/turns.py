"""Whose turn it is in a contest: in random order, and after a pause."""

import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import TypeVar

PAUSE_S = 0.05
"""Before each turn: the neighbour's threads may still wait awake, libgomp's by default for some 5 ms."""

Contestant = TypeVar("Contestant")


def turns(contestants: Sequence[Contestant], rounds: int) -> Iterator[Contestant]:
    """Everyone once a round, in another order each time: nobody always follows the same neighbour."""
    order = Random(0)  # noqa: S311 - nothing secret hangs on it
    for _ in range(rounds):
        for contestant in order.sample(contestants, len(contestants)):
            time.sleep(PAUSE_S)
            yield contestant
