"""Trying settings of one network on part S, one after the other or by many workers: both give the same steps."""

import math
import pickle
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from threading import Lock

import torch

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.activation_cache import ActivationCache
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.cost import CostModel
from tidegate.calibration.search.memory_cost import MemoryCost
from tidegate.calibration.search.moves import Move
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.screening import SCREENING_SHARE, is_screened
from tidegate.engines.engine import Array
from tidegate.models.network import Network

COMPANION_WEIGHT = 0.1
"""Of the risk's smooth companion beside the risk itself. The risk is what will be certified; but on a few hundred
inputs most moves change the same number of answers, often none, and then the companion tells them apart."""

Trial = tuple[KnobSettings, Move | None]


@dataclass(frozen=True, slots=True)
class Workers:
    """Where trials run: any executor whose tasks may run in other processes, and how many run at once."""

    executor: Executor
    count: int


class Trials:
    """Settings of one network as steps of a chain, measured on inputs (n, *input shape).

    Where it is `screened`, these take so long that moves are first measured on SCREENING_SHARE of them.
    """

    def __init__(self, network: Network, inputs: Array, objective: Objective) -> None:
        self.screened = is_screened(network, len(inputs))
        # A share is one of whole batches: all of them in one would be no share.
        batch = math.ceil(SCREENING_SHARE * len(inputs)) if self.screened else None
        self.cache = ActivationCache(network, inputs, batch=batch)
        self._objective = objective
        full, done = self.cache.keep(KnobSettings())
        self._reference = done.outputs
        self._costs = CostModel(network, full.weights_resident_bytes, objective.decision_flops)
        self._memory = MemoryCost(network, inputs) if objective.count_activations else None

    def measured(self, setting: KnobSettings, move: Move | None, share: float = 1.0) -> ChainStep:
        """A setting on the first `share` of the inputs, with the move that led to it."""
        network, done = self.cache.run(setting, share)
        risk = self._objective.risk
        cost = self._costs.cost(network, done)
        reference = self._reference[: len(done.outputs)]
        disagreement = float(risk.differ(reference, done.outputs).mean())
        return ChainStep(
            setting,
            move,
            disagreement + COMPANION_WEIGHT * risk.loss(reference, done.outputs),
            disagreement,
            cost if self._memory is None else replace(cost, memory_ratio=self._memory.ratio(setting)),
        )

    def each(self, _base: KnobSettings, trials: Iterable[Trial], share: float) -> Generator[ChainStep]:
        """Steps in the order of the trials, each measured when it is asked for."""
        for setting, move in trials:
            yield self.measured(setting, move, share)


class SpreadTrials:
    """The same by an executor's workers: as many trials ahead of the one asked for as there are workers."""

    def __init__(self, network: Network, inputs: Array, objective: Objective, workers: Workers) -> None:
        self._workers = workers
        self._packed = pickle.dumps((network, inputs, objective))
        self._key = sha256(self._packed).hexdigest()

    def each(self, base: KnobSettings, trials: Iterable[Trial], share: float) -> Generator[ChainStep]:
        """Steps in the order of the trials. What trials share with `base` a worker computes once."""
        waiting: deque[tuple[Trial, Future[ChainStep | None]]] = deque()
        coming = iter(trials)

        def begin(trial: Trial, packed: bytes | None = None) -> Future[ChainStep | None]:
            threads = torch.get_num_threads()
            return self._workers.executor.submit(measure_there, self._key, packed, base, trial, share, threads)

        try:
            while True:
                for trial in islice(coming, self._workers.count - len(waiting)):
                    waiting.append((trial, begin(trial)))
                if not waiting:
                    return
                trial, future = waiting.popleft()
                step = future.result()
                # That worker has not met this search yet: the network goes there once.
                yield step if step is not None else _told(begin(trial, self._packed).result())
        finally:
            for _, future in waiting:
                future.cancel()


def _told(step: ChainStep | None) -> ChainStep:
    assert step is not None  # noqa: S101 - a worker that is sent the network measures
    return step


@dataclass(slots=True)
class _Held:
    """What a worker's process keeps of the search that it works for."""

    key: str = ""
    trials: Trials | None = None
    base: KnobSettings | None = None


_HELD = _Held()
_ONE_AT_A_TIME = Lock()


def measure_there(
    key: str, packed: bytes | None, base: KnobSettings, trial: Trial, share: float, threads: int
) -> ChainStep | None:
    """In a worker: the trial's step; None where it has not the network and is not sent it.

    Sums depend on the number of threads in their last bits, so that it is the search's.
    """
    with _ONE_AT_A_TIME:
        torch.set_num_threads(threads)
        if _HELD.key != key:
            if packed is None:
                return None
            # Its own pickle, sent by the search that this worker was started for.
            _HELD.trials, _HELD.base, _HELD.key = Trials(*pickle.loads(packed)), None, key  # noqa: S301 - as above
        trials = _HELD.trials
        assert trials is not None  # noqa: S101 - it comes with the key
        if _HELD.base != base:
            trials.cache.keep(base)
            _HELD.base = base
        return trials.measured(*trial, share)
