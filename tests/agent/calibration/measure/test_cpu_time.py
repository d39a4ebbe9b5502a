"""Processor time of points, in turns, and what exits cost and spare."""

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.cpu_time import FEWEST_INPUTS, cpu_times_ms, turn_times_ms
from tidegate.calibration.measure.exit_times import LEAST_MS, along_line, measure_exit_times
from tidegate.calibration.target_engine import target_engines
from tidegate.engines.engine import Answer, Array
from tidegate.models.importing.export_network import export_network

INPUTS = np.zeros((8, 1), np.float32)


@dataclass
class Wandering:
    """A variant that reads memory all over the place; only `run` is asked of it."""

    memory: npt.NDArray[np.int64] = field(default_factory=lambda: np.ones(2**17, np.int64))
    places: npt.NDArray[np.intp] = field(default_factory=lambda: np.random.default_rng(0).permutation(2**17))

    def run(self, batch: Array) -> Answer:
        self.memory[self.places].sum()
        return Answer(batch, 0, 0)


@dataclass
class Busy:
    """A variant that takes some milliseconds, and remembers how many inputs it had; only `run` is asked of it."""

    cpu_ms: float
    ran: list[int] = field(default_factory=list)

    def run(self, batch: Array) -> Answer:
        self.ran.append(len(batch))
        end = time.process_time() + self.cpu_ms / 1e3
        while time.process_time() < end:
            pass
        return Answer(batch, 0, 0)


def test_all_run_the_same_number_of_inputs_in_a_round_one_by_one() -> None:
    variants = [Busy(1.0), Busy(0.1)]
    times = turn_times_ms(variants, INPUTS, rounds=3)  # type: ignore[arg-type] # no more than `run` is used
    assert times.shape == (2, 3)
    assert len(variants[0].ran) == len(variants[1].ran)
    # Ten of a millisecond are a turn; a processor that is slow just then takes longer for one.
    in_a_turn, left_over = divmod(len(variants[0].ran) - 2, 3)
    assert left_over == 0
    assert FEWEST_INPUTS < in_a_turn <= 10 + FEWEST_INPUTS
    assert {*variants[0].ran, *variants[1].ran} == {1}


def test_times_are_per_input_and_of_the_processor() -> None:
    slow, fast = cpu_times_ms([Busy(1.0), Busy(0.1)], INPUTS, rounds=5)  # type: ignore[list-item] # as above
    assert slow == pytest.approx(1.0, rel=0.3)
    assert 0.1 <= fast < 0.3


def test_answers_that_find_the_caches_cold_count_as_much_as_others() -> None:
    variant = Wandering()
    (both,) = cpu_times_ms([variant], INPUTS, rounds=10)  # type: ignore[list-item] # as above
    (warm,) = cpu_times_ms([variant], INPUTS, rounds=10, cold_inputs=0)  # type: ignore[list-item] # as above
    assert both > 1.1 * warm


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 2048), nn.Linear(2048, 64)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


def test_an_exit_spares_what_comes_behind_it() -> None:
    torch.manual_seed(0)
    parts = [("stem", nn.Linear(8, 64)), *((f"block_{i}", Wide()) for i in range(4)), ("head", nn.Linear(64, 3))]
    inputs = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    network = fitted(export_network(parts, torch.zeros(2, 8)), inputs).network
    (eager,) = target_engines(["eager"])
    times = measure_exit_times(eager, eager.over(network), KnobSettings(), network.exit_heads, inputs)
    before = [times.exits[f"block_{i}"].before_ms for i in range(4)]
    assert before == sorted(before)
    assert before[0] < 0.5 * times.whole_ms
    assert before[-1] <= times.whole_ms
    assert all(each.own_ms >= 0 for each in times.exits.values())


def test_what_heads_take_grows_with_what_they_read_and_is_never_less_than_a_call() -> None:
    assert along_line([100, 200, 300], [0.01, 0.02, 0.03]) == pytest.approx([0.01, 0.02, 0.03])
    assert along_line([100, 200, 300], [0.03, 0.02, 0.01]) == pytest.approx([0.02, 0.02, 0.02])
    assert along_line([100, 100], [0.01, 0.03]) == pytest.approx([0.02, 0.02])
    assert along_line([100, 400], [-0.05, 0.01]) == pytest.approx([LEAST_MS, 0.01])
    assert along_line([], []) == []
