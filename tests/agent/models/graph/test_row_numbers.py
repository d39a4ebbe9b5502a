"""Which values of an input pick rows, in graphs as the exporter leaves them; torch refuses the same numbers."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.models.graph.row_numbers import RowNumbers
from tidegate.models.importing.discovery import discover
from tidegate.models.network import TrainedNetwork


class TwoTables(nn.Module):
    """Of (samples, 8): four words twice, the second time turned, a number of its own, and three more."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.others, self.kinds = nn.Embedding(9, 2), nn.Embedding(7, 2), nn.Embedding(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        words, kind, rest = x[:, :4], x[:, 4:5], x[:, 5:]
        turned = words.reshape(-1, 2, 2).transpose(1, 2)[:, :, 0]
        found = self.words(words).sum(1) + self.others(turned).sum(1) + self.kinds(kind).sum(1)
        return torch.cat([found, rest.float()], 1)


class Counted(nn.Module):
    """Looks up what it has counted, which no single value decides."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.words((x != 0).cumsum(1)).mean(1)


def network_of(model: nn.Module, width: int) -> TrainedNetwork:
    return discover(model.eval(), torch.randint(1, 3, (2, width))).network


def rows_of(network: TrainedNetwork) -> RowNumbers | None:
    return RowNumbers.of(network.segments[0], network.weight_shapes)


def test_each_value_has_the_rows_of_its_smallest_table_and_torch_agrees() -> None:
    torch.manual_seed(0)
    model = TwoTables()
    rows = rows_of(network_of(model, 8))
    assert rows is not None
    assert rows.counts.tolist() == [7, 7, 9, 9, 3, np.inf, np.inf, np.inf]
    for place, count in enumerate(rows.counts.tolist()):
        for number in (-1, 0, 2, 6, 7, 8, 9):
            batch = np.zeros((2, 8), np.float32)
            batch[1, place] = number
            taken = True
            try:
                model(torch.from_numpy(batch).long())
            except IndexError:
                taken = False
            trouble = rows.trouble(batch)
            assert (trouble is None) == taken, (place, number)
            if trouble is not None:
                allowed = f"allowed are whole numbers, 0 to {count - 1:.0f}"
                assert trouble == f"value {8 + place} is {number}; it picks a row of a table, {allowed}"


@pytest.mark.parametrize("number", [2.5, 1e9, -1e9, float(np.nextafter(np.float32(2), np.float32(0)))])
def test_numbers_between_and_beyond_rows_are_found(number: float) -> None:
    rows = RowNumbers(np.asarray([3, np.inf], np.float32))
    assert rows.trouble(np.asarray([[number, number]], np.float32)) is not None
    assert rows.trouble(np.asarray([[2, number]], np.float32)) is None


@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(4, 2)), Counted()])
def test_a_model_whose_values_pick_no_row_by_themselves_takes_any(model: nn.Module) -> None:
    given = torch.randn(2, 4) if isinstance(model, nn.Sequential) else torch.ones(2, 4, dtype=torch.int64)
    network = discover(model.eval(), given).network
    assert rows_of(network) is None
