"""Which parts of a network stay in 8 bits, from times in both precisions."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.calibration.measure.exit_times import ExitTime, ExitTimes
from tidegate.calibration.search.precision_by_time import SWITCH_MS, mean_ms, parts_in_fp32


def times_of(parts_ms: list[float], own_ms: float = 0.0) -> ExitTimes:
    """Of a network whose parts take these times, with an exit behind each but the last."""
    ends = np.cumsum(parts_ms).tolist()
    return ExitTimes(ends[-1], {f"exit_{at}": ExitTime(end, own_ms) for at, end in enumerate(ends[:-1])})


def chosen(eight: list[float], full: list[float], byte_ms: float = 0.0) -> tuple[bool, ...]:
    return parts_in_fp32(times_of(eight), times_of(full), [1000] * len(eight), byte_ms)


def test_each_part_is_in_what_is_faster_there() -> None:
    assert chosen([0.4, 0.1, 0.3, 0.1], [0.1, 0.3, 0.1, 0.3]) == (True, False, True, False)


def test_all_is_in_one_precision_where_that_is_faster_throughout() -> None:
    assert chosen([0.1, 0.1, 0.1], [0.2, 0.2, 0.2]) == (False, False, False)
    assert chosen([0.2, 0.2, 0.2], [0.1, 0.1, 0.1]) == (True, True, True)


def test_no_part_changes_for_less_than_the_conversion_of_its_values() -> None:
    assert chosen([0.1, 0.1, 0.1], [0.2, 0.1 - SWITCH_MS, 0.2]) == (False, False, False)
    assert chosen([0.1, 0.1, 0.1], [0.2, 0.1 - 3 * SWITCH_MS, 0.2]) == (False, True, False)


def test_bytes_keep_in_8_bits_what_few_samples_reach() -> None:
    assert chosen([0.2, 0.2, 0.2], [0.1, 0.1, 0.1], byte_ms=5e-5) == (True, True, False)
    assert chosen([0.2, 0.2, 0.2], [0.1, 0.1, 0.1], byte_ms=1.0) == (False, False, False)


def test_what_a_head_takes_counts_with_the_exit_that_it_stands_at() -> None:
    eight, full = times_of([0.1, 0.1], own_ms=0.2), times_of([0.11, 0.1], own_ms=0.02)
    assert parts_in_fp32(eight, full, [0, 0], 0.0)[0]


def test_the_mean_is_that_of_leaving_at_any_exit_or_none() -> None:
    assert mean_ms(times_of([0.1, 0.1, 0.1])) == pytest.approx(0.2)
    assert mean_ms(ExitTimes(0.5, {})) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5000)), min_size=1, max_size=6))
def test_no_other_choice_costs_less(parts: list[tuple[float, float, int]]) -> None:
    byte_ms = 1e-5
    eight, full, added = (list(each) for each in zip(*parts, strict=True))
    reaching = [(len(parts) - at) / len(parts) for at in range(len(parts))]

    def cost(choice: tuple[bool, ...]) -> float:
        spent = sum(
            (full[at] if wide else eight[at]) * reaching[at] + byte_ms * added[at] * wide
            for at, wide in enumerate(choice)
        )
        switches = sum(reaching[at] for at, (a, b) in enumerate(pairwise(choice), 1) if a is not b)
        return spent + SWITCH_MS * switches

    found = parts_in_fp32(times_of(eight), times_of(full), added, byte_ms)
    assert cost(found) <= min(map(cost, product((False, True), repeat=len(parts)))) + 1e-9
