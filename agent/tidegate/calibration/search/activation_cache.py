"""Trying settings that begin alike: what they compute up to where they first differ is computed once and kept.

A step of the search turns one knob, mostly somewhere down the network; a chain's points are such steps. All that
lies before the knob need not be run again. What is kept is the state of each batch between two stages, so
that a trial's outcome is bit by bit that of a run from the start.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice, pairwise, takewhile

import torch

from tidegate.calibration.data.batches import batches
from tidegate.calibration.data.passes import concatenated
from tidegate.engines.engine import Array
from tidegate.engines.plan.execution import plan_execution
from tidegate.engines.reference.batch_state import BatchState
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.staged import Pass, StagedNetwork, Watch
from tidegate.models.knobs import Knobs, precision_of
from tidegate.models.network import Network

KEPT_BYTES = 2 * 2**30
"""Of samples between stages; where all would be more, the widest of them, which come first in most networks and
save the least, are left out."""

_FP32_BYTES = 4

Forwarded = tuple[StagedNetwork, Pass]


class ActivationCache:
    """Runs settings of one network on the same inputs (n, *input shape), n at least 1, at most `batch` at once."""

    def __init__(
        self, network: Network, inputs: Array, kept_bytes: int = KEPT_BYTES, batch: int | None = None
    ) -> None:
        self._engine = EagerEngine(network, keeps_weights=True)
        self._network = network
        self._batches = list(batches(inputs, batch))
        self._places = _places(network, len(inputs), kept_bytes)
        self._states: list[dict[int, BatchState]] = [{} for _ in self._batches]
        self._knobs: Knobs | None = None
        self._watched = False

    def keep(self, knobs: Knobs) -> Forwarded:
        """Run a setting on all inputs, and keep its samples between stages for later ones to start from."""
        network, passes = self._kept(knobs, self._alike(knobs))
        return network, concatenated(passes)

    def watch(self, knobs: Knobs, watch: Watch) -> int:
        """Run and keep a setting from where it first differs from the one that was kept last, and give that stage.

        `watch` is called once per batch and block from there on: what it would see before is what it saw last.
        """
        first = self._alike(knobs) if self._watched else 0
        # All batches from the same stage, so that what is seen of a block is of all of them.
        first = min(_last_kept(states, first) for states in self._states)
        self._kept(knobs, first, watch)
        self._watched = True
        return first

    def run(self, knobs: Knobs, share: float = 1.0) -> Forwarded:
        """Run a setting from where it first differs from the one that was kept last, on the first `share` of the
        batches."""
        first = self._alike(knobs)
        network = self._engine.build(knobs)
        some = islice(self._each(), math.ceil(share * len(self._batches)))
        with torch.inference_mode():
            return network, concatenated([self._pass(network, *one, first) for one in some])

    def _kept(self, knobs: Knobs, first: int, watch: Watch | None = None) -> tuple[StagedNetwork, list[Pass]]:
        network = self._engine.build(knobs)
        passes = []
        with torch.inference_mode():
            for batch, states in self._each():
                state, start = self._started(network, batch, states, first)
                for index in [index for index in states if index > start]:
                    del states[index]
                store = partial(self._store, states)
                network.advance(state, start, watch=watch, before_stage=store, remember=True)
                passes.append(network.end(state))
        self._knobs = knobs
        self._watched = False
        return network, passes

    def _each(self) -> Iterator[tuple[Array, dict[int, BatchState]]]:
        return zip(self._batches, self._states, strict=True)

    def _pass(self, network: StagedNetwork, batch: Array, states: dict[int, BatchState], first: int) -> Pass:
        state, start = self._started(network, batch, states, first)
        network.advance(state, start)
        return network.end(state)

    def _started(
        self, network: StagedNetwork, batch: Array, states: dict[int, BatchState], first: int
    ) -> tuple[BatchState, int]:
        """The last kept state not past a stage, and that state's stage."""
        start = _last_kept(states, first)
        return (states[start].copy(), start) if start in states else (network.start(batch), 0)

    def _store(self, states: dict[int, BatchState], index: int, state: BatchState) -> None:
        if index in self._places:
            states[index] = state.copy()

    def _alike(self, knobs: Knobs) -> int:
        """How many stages, from the first on, do the same as at the setting kept last."""
        kept = self._knobs
        if kept is None or kept.resolution != knobs.resolution:
            return 0
        pairs = zip(_knobs_by_stage(self._network, kept), _knobs_by_stage(self._network, knobs), strict=True)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _last_kept(states: Mapping[int, BatchState], first: int) -> int:
    """The last stage not past `first` that a state was kept before, else the beginning."""
    return max((index for index in states if index <= first), default=0)


def _places(network: Network, samples: int, kept_bytes: int) -> frozenset[int]:
    """Before which stages a batch is kept: the narrowest first, as far as memory goes.

    It is kept as copies of its stage's input and of the input of the block before.
    """
    sizes = [math.prod(segment.input_shape) * samples * _FP32_BYTES for segment in network.segments]
    costs = {index: before + own for index, (before, own) in enumerate(pairwise(sizes), 1)}
    stages: set[int] = set()
    for index, cost in sorted(costs.items(), key=lambda item: item[1]):
        kept_bytes -= cost
        if kept_bytes < 0:
            break
        stages.add(index)
    return frozenset(stages)


def _knobs_by_stage(network: Network, knobs: Knobs) -> Iterator[tuple[object, ...]]:
    """All that knobs say, stage by stage."""
    for subgraph in plan_execution(network, knobs):
        name = subgraph.segment.name
        tau = knobs.thresholds.get(name)
        activity = None if tau is None else knobs.activity
        precisions = [precision_of(knobs, layer) for graph in subgraph.graphs for layer in graph.layers]
        activations = {site: how for site, how in knobs.activations.items() if site.startswith(f"{name}.")}
        yield subgraph, tau, activity, knobs.exits.get(name), precisions, activations
