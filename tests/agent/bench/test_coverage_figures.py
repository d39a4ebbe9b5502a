"""The figures of `tidegate bench coverage`: shares by family, and a goal that only the whole list can meet."""

import torch
from torch import Tensor, nn

from tidegate_bench.coverage.architectures import ATTENTION, CONVOLUTIONAL, SEQUENCES, TRANSFORMERS, Architecture
from tidegate_bench.coverage.bench import figures_of, row_of


class Sorted(nn.Module):
    """What no graph has a form for."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sort(1).values


def test_the_list_is_long_enough_and_each_stands_once() -> None:
    names = [*CONVOLUTIONAL.split(), *ATTENTION.split(), *(kind[0] for kind in TRANSFORMERS), *SEQUENCES]
    assert len(names) >= 120
    assert len(set(names)) == len(names)


def test_what_is_taken_is_counted_by_family_and_the_rest_has_its_reason() -> None:
    taken = row_of(Architecture("a", "linear", lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (4,)))
    refused = row_of(Architecture("a", "sorted", Sorted, (4,)))
    assert taken["taken"]
    assert isinstance(taken["off"], float)
    assert taken["off"] < 1e-5
    assert "sort" in str(refused["reason"])
    figures = figures_of([taken, refused], whole=True)
    assert figures.rows[-1] == {"family": "a", "architectures": 2, "taken": 1, "share": 0.5}
    assert figures.goals[0].value == 0.5
    assert figures_of([taken], whole=False).goals[0].value is None
    assert torch.is_grad_enabled()
