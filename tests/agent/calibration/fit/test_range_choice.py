"""Ranges for 8 bits: never worse than the whole one on what they were chosen by, narrower where a tail is thin."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from tidegate.calibration.fit.histogram import Histogram
from tidegate.calibration.fit.range_choice import least_error_range
from tidegate.engines.plan.quantization import LEVELS, QuantParams, Range

SHAPES = {
    "normal": lambda random, n: random.normal(size=n),
    "heavy tail": lambda random, n: random.standard_t(2.5, size=n),
    "one side": lambda random, n: np.maximum(random.normal(size=n), 0),
    "below zero": lambda random, n: -random.exponential(size=n) - 0.5,
    "two values": lambda random, n: random.choice([-1.0, 3.0], size=n),
    "few outliers": lambda random, n: random.normal(size=n) * np.where(random.random(n) < 0.001, 60, 1),
    "zero": lambda _, n: np.zeros(n),
}


def drawn(shape: str, seed: int, size: float, n: int = 5000) -> npt.NDArray[np.float32]:
    return np.asarray(SHAPES[shape](np.random.default_rng(seed), n) * size, np.float32)


def error(values: npt.NDArray[np.float32], span: Range) -> float:
    params = QuantParams.over(span)
    codes = np.clip(np.rint(values / params.scale) + params.zero_point, 0, LEVELS)
    return float(np.square((codes - params.zero_point) * params.scale - values.astype(np.float64)).mean())


@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 10_000), st.sampled_from([1e-6, 1.0, 300.0]))
def test_no_worse_than_the_whole_range_on_the_values_it_was_chosen_by(shape: str, seed: int, size: float) -> None:
    values = drawn(shape, seed, size)
    histogram = Histogram.of(values)
    whole = Range.of(values)

    chosen = least_error_range(histogram)

    assert error(values, chosen) <= error(values, whole)
    assert whole.low <= chosen.low <= chosen.high <= whole.high


def test_a_thin_tail_is_cut_on_its_own_side() -> None:
    values = np.concatenate([drawn("normal", 0, 1.0, 500_000), np.asarray([9.0], np.float32)])

    chosen = least_error_range(Histogram.of(values))

    assert chosen.high < 6
    assert chosen.low < -3
    assert error(values, chosen) < 0.6 * error(values, Range.of(values))


def test_values_that_fill_their_range_keep_it() -> None:
    values = np.linspace(-1, 2, 5000, dtype=np.float32)

    assert least_error_range(Histogram.of(values)) == Range(-1.0, 2.0)
