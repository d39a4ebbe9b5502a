"""The greedy path against the exhaustive optimum on problems that are cheap to measure."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_bench.adaptive_activation.selection import Positions, Trial, exhaustive, greedy


@dataclass
class Table:
    """Losses and savings that add up, but for `pairs` of knobs that hurt more together."""

    losses: list[list[float]]
    savings: list[list[float]]
    pairs: dict[tuple[int, int], float] = field(default_factory=dict)
    measured: int = 0

    @property
    def sizes(self) -> list[int]:
        return [len(row) for row in self.losses]

    def measure(self, positions: Positions) -> Trial:
        self.measured += 1
        loss = sum(row[place] for row, place in zip(self.losses, positions, strict=True))
        loss += sum(extra for (a, b), extra in self.pairs.items() if positions[a] and positions[b])
        cost = 100 - sum(row[place] for row, place in zip(self.savings, positions, strict=True))
        return Trial(loss, loss / 10, cost)

    def rank(self, positions: Positions) -> Iterator[int]:
        yield from (index for index, place in enumerate(positions) if place + 1 < self.sizes[index])


@st.composite
def tables(draw: st.DrawFn) -> Table:
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=4))
    steps = st.floats(0.01, 3)
    grow = [list(itertools.accumulate([0.0, *(draw(steps) for _ in range(size - 1))])) for size in sizes]
    save = [list(itertools.accumulate([0.0, *(draw(steps) for _ in range(size - 1))])) for size in sizes]
    return Table(grow, save)


@given(tables(), st.floats(85, 100), st.floats(0.05, 1))
def test_the_path_is_nested_cheaper_each_step_and_never_above_the_ceiling(
    table: Table, target: float, ceiling: float
) -> None:
    path = greedy(table, target, ceiling).path
    assert path[0].positions == (0,) * len(table.sizes)
    for above, below in itertools.pairwise(path):
        assert below.trial.cost < above.trial.cost
        assert below.trial.risk <= ceiling
        assert sum(below.positions) == sum(above.positions) + 1
        assert all(a <= b for a, b in zip(above.positions, below.positions, strict=True))


@given(tables(), st.floats(85, 100), st.floats(0.05, 1))
def test_what_greedy_reaches_the_exhaustive_search_reaches_at_no_more_loss(
    table: Table, target: float, ceiling: float
) -> None:
    reached = greedy(table, target, ceiling).reaching(target)
    optimum = exhaustive(table, target, ceiling)
    if reached is not None:
        assert optimum is not None
        assert optimum.trial.loss <= reached.trial.loss + 1e-9


def test_moves_that_hurt_together_are_seen_and_rolled_back() -> None:
    losses = [[0.0, 0.1], [0.0, 0.2], [0.0, 0.4]]
    table = Table(losses, [[0.0, 10.0]] * 3, pairs={(0, 1): 50.0})
    selection = greedy(table, target_cost=80, max_risk=1.0)
    assert [step.knob for step in selection.path] == [None, 0, 2]
    assert selection.reaching(80) is selection.path[-1]
    to_the_end = greedy(table, target_cost=0, max_risk=1.0)
    assert to_the_end.rolled_back == 1
    assert to_the_end.reaching(75) is None


def test_moves_without_saving_are_passed_over() -> None:
    table = Table([[0.0, 0.0], [0.0, 0.0], [0.0, 5.0]], [[0.0, 0.0], [0.0, -1.0], [0.0, 10.0]])
    path = greedy(table, target_cost=90, max_risk=1.0, width=2).path
    assert [step.knob for step in path] == [None, 2]


def test_infeasible_is_none_from_both() -> None:
    table = Table([[0.0, 20.0]], [[0.0, 10.0]])
    assert greedy(table, 90, max_risk=1.0).reaching(90) is None
    assert exhaustive(table, 90, max_risk=1.0) is None
    assert exhaustive(table, 80, max_risk=9.0) is None


def test_too_many_combinations_are_refused_before_any_is_measured() -> None:
    table = Table([[0.0, 1.0]] * 20, [[0.0, 1.0]] * 20)
    with pytest.raises(ValueError, match="1048576 combinations"):
        exhaustive(table, 90, 1.0)
    assert table.measured == 0
