"""A search whose moves are tried by an executor's workers: the same chain as one that tries them itself."""

import pickle
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.certify.risk import risk_of
from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.executors import ExecutorNameError, ExecutorUnavailable, opened_executor
from tidegate.calibration.search.greedy_search import Search
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.search_space import SearchSpace
from tidegate.calibration.search.trials import SpreadTrials, Workers
from tidegate.engines.engine import Array
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork


class Residual(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.relu(self.linear(x))


GROUPS = (LayerGroup("blocks", ("a.linear", "b.linear", "c.linear")), LayerGroup("head", ("head",)))


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    torch.manual_seed(0)
    blocks = [(name, Residual(scale)) for name, scale in (("a", 2.0), ("b", 0.001), ("c", 0.3))]
    return export_network([*blocks, ("head", nn.Linear(8, 3))], torch.zeros(2, 8))


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)


def chain(network: TrainedNetwork, inputs: Array, workers: Workers | None = None) -> tuple[ChainStep, ...]:
    objective = Objective(count_decisions=False, lookahead=2)
    return Search(network, SearchSpace.of(network, GROUPS), inputs, objective, workers).chain()


def test_workers_find_what_is_found_without(network: TrainedNetwork, inputs: Array) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert chain(network, inputs, Workers(pool, 3)) == chain(network, inputs)


def test_a_worker_that_served_another_search_is_sent_this_ones_network(
    network: TrainedNetwork, inputs: Array
) -> None:
    with ThreadPoolExecutor(1) as pool:
        workers = Workers(pool, 2)
        few, many = inputs[:50], inputs
        assert [chain(network, each, workers) for each in (few, many, few)] == [
            chain(network, each) for each in (few, many, few)
        ]


def test_no_more_is_begun_than_there_are_workers_for(network: TrainedNetwork, inputs: Array) -> None:
    asked: list[int] = []

    def settings() -> Iterator[tuple[KnobSettings, None]]:
        for number in range(10):
            asked.append(number)
            yield KnobSettings(), None

    with ThreadPoolExecutor(2) as pool:
        steps = SpreadTrials(network, inputs, Objective(), Workers(pool, 2)).each(KnobSettings(), settings(), 1.0)
        next(steps)
        assert asked == [0, 1]
        steps.close()
    assert asked == [0, 1]


def test_a_workers_error_is_the_searchs(network: TrainedNetwork, inputs: Array) -> None:
    unknown = KnobSettings(layer_precision={"nowhere": Precision.INT8})
    with ThreadPoolExecutor(1) as pool:
        steps = SpreadTrials(network, inputs, Objective(), Workers(pool, 1)).each(
            KnobSettings(), [(unknown, None)], 1
        )
        with pytest.raises(Exception, match="nowhere"):
            next(steps)


@pytest.mark.parametrize("risk", ["newly_wrong", "disagreement", "cosine:0.1", "distance:0.5", "threshold:0.5"])
def test_every_risk_can_be_sent_to_a_worker(risk: str, network: TrainedNetwork, inputs: Array) -> None:
    with ThreadPoolExecutor(1) as pool:
        trials = SpreadTrials(network, inputs, Objective(risk_of(risk)), Workers(pool, 1))
        assert next(trials.each(KnobSettings(), [(KnobSettings(), None)], 1.0)).disagreement == 0


def test_a_risk_of_the_users_own_is_found_again_where_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_risk.py").write_text("def apart(full, outputs):\n    return abs(full - outputs).max(1) > 1\n")
    monkeypatch.chdir(tmp_path)
    sent = pickle.loads(pickle.dumps(risk_of("own_risk:apart")))
    full = np.zeros((2, 3), np.float32)
    assert sent.differ(full, full + np.float32([[0], [2]])).tolist() == [False, True]


@pytest.mark.parametrize("name", ["threads", "processes:0", "processes:many", "processes:", "dask", "dask:", ""])
def test_what_names_no_executor_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ExecutorNameError, match=r"processes|COUNT"), opened_executor(name):
        pass


@pytest.mark.slow
def test_processes_find_what_is_found_without(network: TrainedNetwork, inputs: Array) -> None:
    with opened_executor("processes:2") as workers:
        assert chain(network, inputs, workers) == chain(network, inputs)


@pytest.mark.slow
def test_two_workers_of_a_dask_cluster_find_what_is_found_without(network: TrainedNetwork, inputs: Array) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        opened_executor(f"dask:{cluster.scheduler_address}") as workers,
    ):
        assert workers.count == 2
        assert isinstance(workers.executor, Executor)
        assert chain(network, inputs, workers) == chain(network, inputs)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_said() -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    with (
        pytest.raises(ExecutorUnavailable, match="no Dask scheduler answers"),
        opened_executor("dask:tcp://127.0.0.1:9"),
    ):
        pass
