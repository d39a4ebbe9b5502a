"""Whatever comes when, and however much room there is: what is below the lowest ceiling is an even sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.footage.sampling import Ceiling, Sampling


def simulated(arrivals: list[float], room: int, max_age_s: float, chance: np.random.Generator) -> list[float]:
    """When those clips came that are in the sample at the end."""
    sampling = Sampling()
    kept: list[tuple[float, float]] = []
    for now_s in arrivals:
        kept = [(at_s, key) for at_s, key in kept if at_s >= now_s - max_age_s]
        key = float(chance.random())
        if key < sampling.in_force:
            kept.append((now_s, key))
        sampling = sampling.after(now_s, max_age_s, len(kept) / room)
        while len(kept) > room:
            largest = max(kept, key=lambda each: each[1])
            kept.remove(largest)
            sampling = sampling.lowered(now_s, largest[1])
    return [at_s for at_s, key in kept if key < sampling.even_below]


def test_each_clip_of_the_time_kept_is_as_likely_whenever_it_came() -> None:
    chance = np.random.default_rng(3)
    # Many in the first half of the time kept, few in the second, and a time before it that is forgotten.
    arrivals = [*np.linspace(0, 90, 400), *np.linspace(100, 150, 300), *np.linspace(150.1, 200, 60)]
    early = late = 0
    for _ in range(400):
        sample = simulated(arrivals, 40, 100.0, chance)
        assert all(at_s >= 100 for at_s in sample)
        early += sum(at_s <= 150 for at_s in sample)
        late += sum(at_s > 150 for at_s in sample)
    # 300 to 60: five of six are from the first half.
    share = early / (early + late)
    assert abs(share - 300 / 360) < 4 * np.sqrt(300 / 360 * 60 / 360 / (early + late))
    assert early + late > 400 * 20


def test_where_fewer_come_than_before_more_of_them_are_kept_again() -> None:
    sampling = Sampling().lowered(0.0, 0.1)
    assert sampling.after(50.0, 100.0, 0.1).in_force == 0.1
    risen = sampling.after(100.0, 100.0, 0.1)
    assert risen.in_force == pytest.approx(0.15)
    # Until those from before are gone, the sample is what was kept of both.
    assert risen.even_below == 0.1
    assert risen.after(199.0, 100.0, 0.1).even_below == 0.1
    later = risen.after(201.0, 100.0, 0.1)
    assert (later.even_below, later.in_force) == pytest.approx((0.15, 0.225))
    assert sampling.after(500.0, 100.0, 0.6) == sampling


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1), st.booleans()), max_size=40))
def test_ceilings_rise_with_time_whatever_happens(steps: list[tuple[float, float, bool]]) -> None:
    sampling, now_s = Sampling(), 0.0
    for pause_s, value, lower in steps:
        now_s += pause_s
        if lower and value < sampling.in_force:
            sampling = sampling.lowered(now_s, value)
            assert sampling.in_force == value
        else:
            sampling = sampling.after(now_s, 1e5, value)
        assert sampling.even_below <= sampling.in_force


def test_ceilings_that_can_not_be_are_refused() -> None:
    for values in ((), (0.5, 0.2), (1.5,)):
        with pytest.raises(ValueError, match="must rise within"):
            Sampling(tuple(Ceiling(0.0, value) for value in values))
