"""Which layers stay in fp32, and which steps of a chain come of it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.calibration.search.precision_by_loss import Sensitivity, falling, narrowed, units_of


def of(name: str, loss: float, saving: float) -> Sensitivity:
    return Sensitivity((name,), loss, saving)


def test_what_loses_most_for_what_it_saves_stays_longest() -> None:
    sets = narrowed([of("cheap", 0.1, 0.6), of("dear", 0.1, 0.05), of("harmless", 0.0, 0.2), of("worst", 9, 0.1)])
    names = [[each.layers[0] for each in kept] for kept in sets]
    assert names == [["worst", "dear", "cheap"], ["worst", "dear"], ["worst"], []]


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=60))
def test_each_set_holds_the_next_down_to_nothing(found: list[tuple[float, float]]) -> None:
    sets = narrowed([of(str(index), *each) for index, each in enumerate(found)])
    assert sets[-1] == ()
    assert all(len(kept) < len(found) for kept in sets)
    assert all(set(fewer) < set(more) for more, fewer in pairwise(sets))


@given(st.integers(0, 400), st.integers(1, 50))
def test_units_are_all_layers_in_order(count: int, most: int) -> None:
    layers = tuple(map(str, range(count)))
    units = units_of(layers, most)
    assert tuple(layer for unit in units for layer in unit) == layers
    assert len(units) <= most


@pytest.mark.parametrize(
    ("costs", "tolerated", "kept", "further"),
    [
        ([1.0, 0.8, 0.5, 0.3], [True, True, True, False], (0, 1, 2), (3,)),
        ([1.0, 0.8, 0.5, 0.3], [True, True, True, True], (0, 1, 2, 3), ()),
        # What costs as much as the step before is no step, and what is slower than full never is one.
        ([1.0, 1.2, 0.99, 0.5], [True, True, True, True], (0, 3), ()),
        # A step that S happens to tolerate behind one that it doesn't.
        ([1.0, 0.8, 0.5, 0.3], [True, False, True, False], (0, 2), (3,)),
        ([1.0, 0.8, 0.5, 0.3], [True, False, False, False], (0,), (1, 2, 3)),
        ([1.0, 1.5, 1.4], [True, True, False], (0,), ()),
    ],
)
def test_steps_go_by_falling_cost(
    costs: list[float], tolerated: list[bool], kept: tuple[int, ...], further: tuple[int, ...]
) -> None:
    assert falling(costs, tolerated) == (kept, further)
