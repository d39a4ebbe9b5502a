"""Histograms of parts add up to that of the whole."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tidegate.calibration.fit.histogram import MOST_BINS, Histogram

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100)
VALUES = arrays(np.float32, st.integers(1, 50), elements=FINITE)


@given(VALUES, VALUES)
def test_parts_merge_to_the_histogram_of_the_whole(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> None:
    merged = Histogram.of(one).merged(Histogram.of(other))
    whole = Histogram.of(np.concatenate([one, other]))

    assert (merged.low, merged.high) == (whole.low, whole.high)
    assert (merged.exponent, merged.first) == (whole.exponent, whole.first)
    assert np.array_equal(merged.counts, whole.counts)


@given(VALUES)
def test_every_value_lies_in_one_of_the_bins(values: npt.NDArray[np.float32]) -> None:
    found = Histogram.of(values)

    assert found.counts.sum() == len(values)
    assert len(found.counts) <= 2 * MOST_BINS + 1
    half = 2.0**found.exponent / 2
    for value in values:
        assert np.abs(found.centres - value).min() <= half * (1 + 1e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Histogram.of(np.asarray([0.0, value], np.float32))
