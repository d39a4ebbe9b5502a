"""Backoff: jitter below a growing ceiling, and what resets it."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.link.backoff import Backoff


class Highest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def test_ceiling_doubles_to_the_cap() -> None:
    backoff = Backoff(base_s=1.0, cap_s=10.0, random=Highest())
    assert [backoff.failed() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_only_a_stable_period_resets() -> None:
    backoff = Backoff(base_s=1.0, cap_s=60.0, stable_s=30.0, random=Highest())
    assert [backoff.failed(lasted_s) for lasted_s in (0.0, 29.0, 29.0)] == [1.0, 2.0, 4.0]
    assert backoff.failed(30.0) == 1.0


@given(st.integers(0, 2**32))
def test_delays_fill_the_whole_interval(seed: int) -> None:
    backoff = Backoff(base_s=8.0, cap_s=8.0, random=random.Random(seed))
    delays = [backoff.failed() for _ in range(200)]
    assert 0.0 <= min(delays) < 2.0
    assert 6.0 < max(delays) <= 8.0


def test_years_offline_do_not_overflow() -> None:
    backoff = Backoff(cap_s=60.0)
    assert max(backoff.failed() for _ in range(5000)) <= 60.0
