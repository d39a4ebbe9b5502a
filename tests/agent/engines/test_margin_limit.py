"""Margins compared as Python numbers, against float32."""

import math

import hypothesis.strategies as st
import numpy as np
from hypothesis import example, given

from tidegate.engines.plan.margin_limit import margin_limit

shares = st.floats(0, 1, width=32)
BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


@given(best=shares, second=shares, leave_above=st.floats(-1, 2))
@example(best=1.0, second=float(np.float32(1e-9)), leave_above=0.99999997)
@example(best=1.0, second=float(np.float32(2.0**-24)), leave_above=BELOW_ONE)
@example(best=1.0, second=float(np.float32(2.0**-25)), leave_above=BELOW_ONE)
def test_a_sample_leaves_where_it_would_leave_in_a_batch(best: float, second: float, leave_above: float) -> None:
    in_a_batch = (np.float32([best]) - np.float32([second]) > leave_above)[0]
    assert (best - second > margin_limit(leave_above)) == in_a_batch


def test_nobody_leaves_where_there_is_no_exit() -> None:
    assert margin_limit(math.inf) == math.inf
